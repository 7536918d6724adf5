"""OtlpTraceService: spans that no row can hold, and requests that are stored in parts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spanloom import errors
from spanloom.errors import SpanloomError
from spanloom.services.context import CallContext
from spanloom.services.otlp import OtlpTraceService
from spanloom.store.store import Store
from tests.ingest.otlp.requests import request_of, span_message
from tests.services.callers import Caller

BAD = {"langfuse.user.id": "a\0b"}


def request(*bad: int, count: int) -> Any:
    """So many spans, each of a trace of its own; those at the given places have a user whose id no
    column can hold."""
    spans = []
    for number in range(count):
        span = span_message(f"span {number}", BAD if number in bad else {})
        span.trace_id = (number + 1).to_bytes(16, "big")
        spans.append(span)
    return request_of(*spans)


def export(caller: Caller, message: Any) -> Any:
    call = CallContext(request_id="r", key_project=caller.key_project, role="ingest", received_ns=1)
    return asyncio.run(OtlpTraceService(caller.store).export(message, call)).partial_success


@pytest.mark.parametrize(
    ("attribute", "hint", "project"),
    [("openinference.project.name", "", "of-attribute"), ("", "of-header", "of-header")],
)
def test_an_instance_key_takes_the_project_by_phoenix_names(
    caller: Caller, attribute: str, hint: str, project: str
) -> None:
    message = request(count=1)
    if attribute:
        resource = message.resource_spans[0].resource
        resource.attributes.add(key=attribute).value.string_value = "of-attribute"
    call = CallContext(
        request_id="r", key_project="*", role="ingest", received_ns=1, header_hint=hint
    )
    asyncio.run(OtlpTraceService(caller.store).export(message, call))
    assert len(asyncio.run(caller.store.list_traces(project, limit=10))) == 1


def stored(caller: Caller) -> int:
    return len(asyncio.run(caller.store.list_traces(caller.key_project, limit=10_000)))


def test_a_span_that_cannot_be_stored_is_reported_and_the_others_are_stored(caller: Caller) -> None:
    told = export(caller, request(1, 3, count=5))
    assert told.rejected_spans == 2
    for number in (1, 3):
        trace_id = (number + 1).to_bytes(16, "big").hex()
        assert f"of trace {trace_id}: user.id: holds a NUL character" in told.error_message
    assert stored(caller) == 3


def test_many_refused_spans_take_no_other_with_them(caller: Caller) -> None:
    told = export(caller, request(*range(400), count=410))
    assert (told.rejected_spans, stored(caller)) == (400, 10)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.queue_full(), "RESOURCE_EXHAUSTED", "the write queue is full"),
        (errors.store_unavailable(), "UNAVAILABLE", "the database is not available"),
    ],
)
def test_an_error_in_a_later_part_says_what_was_stored(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, error: SpanloomError, code: str, message: str
) -> None:
    write, parts = Store.write_spans, 0

    async def fail_later(store: Store, *arguments: Any, **options: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts == 3:
            raise error
        return await write(store, *arguments, **options)

    monkeypatch.setattr(Store, "write_spans", fail_later)
    with pytest.raises(SpanloomError) as refused:
        export(caller, request(7, count=1_400))
    number = stored(caller)
    assert number == 999
    assert (refused.value.code, refused.value.retry_after) == (code, error.retry_after)
    assert refused.value.message == (
        f"{message}; the first {number} spans of this request were stored, send it again"
    )
    assert refused.value.metadata["stored_spans"] == str(number)


def test_an_error_in_the_first_part_says_that_nothing_was_stored(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise errors.queue_full()

    monkeypatch.setattr(Store, "write_spans", fail)
    with pytest.raises(SpanloomError, match="nothing of this request was stored"):
        export(caller, request(count=1_400))
