"""Calls with a `request_id`: what their repeats are answered."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from spanloom.codec.json_path import json_path
from spanloom.errors import invalid_field
from spanloom.store.control import ControlStore
from spanloom.store.once import EACH_TIME, AnsweredBeforeError, Once

MAX_LENGTH = 128

M = TypeVar("M", bound=Message)


async def answer_once(
    store: ControlStore,
    project: str,
    request: Any,
    response: type[M],
    create: Callable[[Once], Awaitable[M]],
    *,
    about: str = "",
) -> M:
    """The answer to a request, which is created once if it has a `request_id`.

    Args:
        create: Stores and answers. It gives the store what it is called with, `answering` the
            bytes of its answer.
        about: As of `Once`.

    Raises:
        SpanloomError: INVALID_ARGUMENT if the id is too long, or that of a different request.
    """
    once = _once(request, about)
    if not once.request_id:
        return await create(once)
    # Before anything is checked: what the first call was checked against may have changed.
    answer = await store.earlier_answer(project, once)
    if answer is None:
        try:
            return await create(once)
        except AnsweredBeforeError as repeat:
            answer = repeat.answer
    return response.FromString(answer)


def _once(request: Any, about: str) -> Once:
    request_id: str = request.request_id
    if not request_id:
        return EACH_TIME
    kind = type(request)
    field = json_path(kind)("request_id")
    if len(request_id) > MAX_LENGTH:
        raise invalid_field(field, f"must have at most {MAX_LENGTH} characters")
    if "\0" in request_id:
        raise invalid_field(field, "must not contain the character NUL (U+0000)")
    rest = kind()
    rest.CopyFrom(request)
    rest.ClearField("request_id")
    return Once(
        method=kind.DESCRIPTOR.name.removesuffix("Request"),
        request_id=request_id,
        field=field,
        about=about,
        digest=hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest(),
    )
