"""Page tokens (AIP-158) of lists ordered by a time and an id: where the next page begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from spanloom.codec.json_path import json_path
from spanloom.codec.opaque import opened, sealed
from spanloom.errors import Reason, SpanloomError, invalid_field
from spanloom.model import SlicedList
from spanloom.model.checks import possible_id
from spanloom.model.paging import clamped_page_size
from spanloom.v1 import experiment_service_pb2, trace_service_pb2

_TIME_BYTES = 8

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

ListRequest = (
    experiment_service_pb2.GetExperimentRequest
    | experiment_service_pb2.ListExperimentsRequest
    | trace_service_pb2.ListTracesRequest
)
Item = TypeVar("Item")
# An item's time, in nanoseconds, and its id.
Position = tuple[int, str]


@dataclass(frozen=True, slots=True)
class TokenPage(Generic[Item]):
    """One page of a list, and the token of the next one, "" after the last."""

    items: Sequence[Item]
    next_token: str


async def token_page(
    request: ListRequest,
    read: Callable[[int, Position | None], Awaitable[Sequence[Item]]],
    position: Callable[[Item], Position],
    *,
    query: str,
    project: str,
) -> TokenPage[Item]:
    """One page of a list, as a request with a page size and a page token asks for it.

    Args:
        read: Reads at most so many items that follow a position, None for the beginning. Of a
            SlicedList that was not read to its end the next page continues where it ended.
        position: An item's position in the list.
        query: The list and its conditions, as `list_query` names them.

    Raises:
        SpanloomError: INVALID_PAGE_TOKEN if the token is not one of this list; INVALID_ARGUMENT if
            the size is negative.
    """
    spelled = json_path(type(request))
    size = clamped_page_size(
        spelled("page_size"), request.page_size, default=DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE
    )
    token, field = request.page_token, spelled("page_token")
    after = position_of(token, query, project, field=field) if token else None
    # One more than the page has, to know whether another page follows.
    items = await read(size + 1, after)
    if len(items) <= size:
        resume = items.resume if isinstance(items, SlicedList) else None
        return TokenPage(items, page_token(query, project, resume) if resume else "")
    return TokenPage(items[:size], page_token(query, project, position(items[size - 1])))


def list_query(list_name: str, /, **conditions: str | float | None) -> str:
    """The text that names a list and its conditions.

    Conditions that are not set (None, "", 0) are left out: one that is added later does not void
    the tokens of lists without it.
    """
    given = {key: value for key, value in conditions.items() if value}
    return list_name + orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()


def page_token(query: str, project: str, after: Position) -> str:
    """The token for what follows an item.

    Args:
        query: The list and its conditions, as `list_query` names them.
        after: The item's time, in nanoseconds, and its id.
    """
    time_ns, item_id = after
    return sealed(query, project, time_ns.to_bytes(_TIME_BYTES, signed=True) + item_id.encode())


def position_of(token: str, query: str, project: str, *, field: str) -> Position:
    """The item that `page_token` made the token for.

    Raises:
        SpanloomError: INVALID_PAGE_TOKEN for anything that it did not make for this query.
    """
    position = opened(token, query, project)
    if position is None or not possible_id(
        item_id := position[_TIME_BYTES:].decode(errors="replace")
    ):
        raise invalid_page_token(field)
    return int.from_bytes(position[:_TIME_BYTES], signed=True), item_id


def invalid_page_token(field: str) -> SpanloomError:
    return invalid_field(field, "is not a page token of this list", Reason.INVALID_PAGE_TOKEN)
