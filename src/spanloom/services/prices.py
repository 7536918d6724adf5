"""PriceService: what proto/spanloom/v1/price_service.proto promises; and the prices in use."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from spanloom.codec.json_path import json_path
from spanloom.codec.page_token import list_query, page_token, position_of
from spanloom.codec.required_fields import missing_fields
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.errors import invalid_field, not_found
from spanloom.genai.own_prices import set_prices
from spanloom.model import Record
from spanloom.model.checks import Violations, possible_id
from spanloom.model.paging import clamped_page_size
from spanloom.model.prices import READ_FOR, Price
from spanloom.model.times import OUT_OF_RANGE
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import price_pb2
from spanloom.v1 import price_service_pb2 as pb

KIND: Final = "price"
_MOST_PRICES: Final = 1000
_LONGEST: Final = 256
_DEFAULT_PAGE_SIZE: Final = 100
_MAX_PAGE_SIZE: Final = 1000
# How long another process may use the prices before a change.
_SECONDS: Final = 5.0
_MOST_PROJECTS: Final = 10_000
# The fields of the message that are prices, by that of the model.
_AMOUNTS: Final = {
    "input": "input_usd_per_million",
    "output": "output_usd_per_million",
    "cache_read": "cache_read_usd_per_million",
    "cache_written": "cache_creation_usd_per_million",
}


_ALWAYS: Final = ("input", "output")


class ProjectPrices:
    """The prices of projects as this process uses them."""

    def __init__(self, store: ControlStore) -> None:
        self._records = store.records
        self._read_at: dict[str, float] = {}

    async def use(self, project: str) -> None:
        """Compute the costs of what this task reads from now on with a project's prices."""
        READ_FOR.set(project)
        now = time.monotonic()
        if self._read_at.get(project, -math.inf) + _SECONDS < now:
            if len(self._read_at) >= _MOST_PROJECTS:
                self._read_at.clear()
            set_prices(project, map(_price, await self._records.all(project, KIND)))
            self._read_at[project] = now


class PriceService:
    """Prices of a project."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def write_price(
        self, request: pb.WritePriceRequest, call: CallContext
    ) -> pb.WritePriceResponse:
        project = call.project()
        price = _checked(request)
        records = await self._store.records.all(project, KIND)
        if len(records) >= _MOST_PRICES and price.id not in {record.id for record in records}:
            field = json_path(type(request))("price")
            raise invalid_field(field, f"the project has {_MOST_PRICES} prices, which is the limit")
        await self._store.ensure_project(project)
        body = {name: getattr(price, name) for name in price.__slots__ if name != "id"}
        record = Record(price.id, call.received_ns, body)
        await self._store.records.write(project, KIND, record)
        return pb.WritePriceResponse(price=_message(price))

    async def list_prices(
        self, request: pb.ListPricesRequest, call: CallContext
    ) -> pb.ListPricesResponse:
        project = call.project()
        spelled = json_path(type(request))
        size = clamped_page_size(
            spelled("page_size"),
            request.page_size,
            default=_DEFAULT_PAGE_SIZE,
            maximum=_MAX_PAGE_SIZE,
        )
        named = list_query("prices", asked="")
        after = ""
        if request.page_token:
            field = spelled("page_token")
            _, after = position_of(request.page_token, named, project, field=field)
        records = await self._store.records.all(project, KIND)
        found = sorted((r for r in records if r.id > after), key=lambda record: record.id)
        prices = [_message(_price(record)) for record in found[:size]]
        response = pb.ListPricesResponse(prices=prices)
        if len(found) > size:
            response.next_page_token = page_token(named, project, (0, found[size - 1].id))
        return response

    async def delete_price(
        self, request: pb.DeletePriceRequest, call: CallContext
    ) -> pb.DeletePriceResponse:
        project = call.project()
        if not request.price_id:
            raise invalid_field(json_path(type(request))("price_id"), "is required")
        found = possible_id(request.price_id) and await self._store.records.delete(
            project, KIND, request.price_id
        )
        if not found and not request.allow_missing:
            raise not_found("price", request.price_id[:64])
        return pb.DeletePriceResponse()


def _checked(request: pb.WritePriceRequest) -> Price:
    """The price of a request.

    Raises:
        SpanloomError: INVALID_FIELD, with each field that is wrong.
    """
    violations = Violations(spelled=json_path(type(request)))
    for field in missing_fields(request):
        violations.add(field, "is required")
    given = request.price
    if given.price_id:
        violations.check_id("price.price_id", given.price_id)
    for name in ("model", "provider"):
        text = getattr(given, name)
        violations.check_text(f"price.{name}", text)
        if len(text) > _LONGEST:
            violations.add(f"price.{name}", f"must have at most {_LONGEST} characters")
    if "*" in given.model[:-1]:
        violations.add("price.model", "may have `*` at its end only")
    amounts: dict[str, Any] = {}
    for name, field in _AMOUNTS.items():
        value = getattr(given, field)
        if not 0 <= value < math.inf:
            violations.add(f"price.{field}", "must be a number of at least 0")
        if name in _ALWAYS or given.HasField(field):  # type: ignore[arg-type]
            amounts[name] = value
    valid_from_ns = 0
    if given.HasField("valid_from_time"):
        valid_from_ns = ns_from_timestamp(given.valid_from_time) or 0
        if ns_from_timestamp(given.valid_from_time) is None:
            violations.add("price.valid_from_time", OUT_OF_RANGE)
    violations.refuse()
    return Price(
        id=given.price_id,
        model=given.model.lower(),
        provider=given.provider.lower(),
        valid_from_ns=valid_from_ns,
        **amounts,
    )


def _price(record: Record) -> Price:
    body: Any = record.body
    return Price(id=record.id, **body)


def _message(price: Price) -> price_pb2.Price:
    message = price_pb2.Price(
        price_id=price.id,
        model=price.model,
        provider=price.provider,
        **{field: getattr(price, name) for name, field in _AMOUNTS.items()},
    )
    if price.valid_from_ns:
        message.valid_from_time.CopyFrom(timestamp_from_ns(price.valid_from_ns))
    return message
