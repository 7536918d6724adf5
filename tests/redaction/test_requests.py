"""Every request that brings content, filled with the corpus, and what redaction leaves of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom import app
from spanloom.adapters.honeyhive.incoming import json_batch, json_event
from spanloom.errors import SpanloomError
from spanloom.model import Record
from spanloom.model.catalog import REDACTION
from spanloom.redaction import documents
from spanloom.redaction.credentials import CLEAN
from spanloom.redaction.messages import redact_message
from spanloom.redaction.rules import Rules, compile_rules, document_of
from spanloom.server.messages import message_of
from spanloom.services.context import CallContext
from spanloom.services.redaction import RULES_ID, Redaction
from spanloom.v1 import event_service_pb2, span_service_pb2
from tests.redaction.corpus import (
    CONTENT,
    FORBIDDEN,
    PATHS,
    PRESETS,
    PROSE,
    SECRET,
    TEXT,
    fill,
    found_in,
)

RULES = Rules(presets=PRESETS, paths=PATHS)
COMPILED = compile_rules(RULES, project="p")
METHODS = {
    method.full_name: method
    for method in app.methods(Mock())
    if hasattr(method.answer, "__wrapped__")
}
CALL = CallContext(request_id="r", key_project="p", role="admin", received_ns=1)
INSTANCE_CALL = replace(CALL, key_project="*")


def stored(**rules: Rules) -> Mock:
    """A store that has rules of projects."""
    store = Mock()
    store.records.find = AsyncMock(
        side_effect=lambda project, kind, id: (
            Record(id, 1, document_of(rules[project]))
            if (kind, id) == (REDACTION, RULES_ID) and project in rules
            else None
        )
    )
    return store


def redact(redaction: Redaction, request: Any, call: CallContext = CALL) -> Any:
    return asyncio.run(redaction.request(request, call))[0]


def test_what_stores_content_is_redacted() -> None:
    """Only the services of operators' settings are left out."""
    left = {
        method.descriptor.containing_service.name
        for method in app.methods(Mock())
        if not method.is_read and method.full_name not in METHODS
    }
    assert left == {"KeyService", "PriceService", "ProjectService"}
    assert len(METHODS) > 50


@pytest.mark.parametrize("name", METHODS)
def test_every_field_of_every_request(name: str) -> None:
    request = METHODS[name].request_class()
    fill(request)
    clear_ids(request)  # they stay, as docs/redaction.md says
    before = request.SerializeToString()
    redact_message(COMPILED, request)
    once = request.SerializeToString(deterministic=True)
    assert found_in(once) == []
    again = type(request).FromString(once)
    redact_message(COMPILED, again)
    assert again.SerializeToString(deterministic=True) == once
    if SECRET.encode() in before:
        assert b"[REDACTED]" in once


def clear_ids(message: Any) -> None:
    for field, value in message.ListFields():
        if field.message_type is None:
            if documents.is_id(field.name) and message.DESCRIPTOR.name != "User":
                message.ClearField(field.name)
        elif not field.message_type.GetOptions().map_entry:
            for item in value if field.is_repeated else (value,):
                clear_ids(item)


def test_credentials_alone_leave_personal_data() -> None:
    request = METHODS["spanloom.v1.SpanService/WriteSpans"].request_class()
    fill(request)
    redact(Redaction(stored()), request)
    clear_ids(request)
    assert set(found_in(request.SerializeToString())) <= set(FORBIDDEN) - {SECRET}
    assert b"corpusada@example.org" in request.SerializeToString()
    untouched = type(request)()
    fill(untouched)
    before = untouched.SerializeToString(deterministic=True)
    redact(Redaction(stored(), credentials=False), untouched)
    assert untouched.SerializeToString(deterministic=True) == before


def test_plain_events() -> None:
    event = {
        "event_id": "4111111111111111",
        "session_id": "s",
        "event_type": "tool",
        "event_name": PROSE,
        "inputs": CONTENT,
        "outputs": TEXT,
        "start_time": 4111111111,
        "metadata": CONTENT,
        "config": {"password": SECRET},
        "project": "p",
    }
    redaction = Redaction(stored(p=RULES))
    found = json_event({"event": json.loads(json.dumps(event))})
    assert found is not None
    changed = redact(redaction, found[0])
    assert changed.fields["event_id"] == "4111111111111111"
    assert changed.fields["start_time"] == 4111111111
    assert changed.fields["config"] == {"password": "[REDACTED]"}
    text = (changed.kept or b"").replace(b'"event_id":"4111111111111111"', b"")
    assert found_in(text) == found_in(json.dumps(changed.fields["inputs"]).encode()) == []
    batch = json_batch(
        {"events": [event, {"event_type": "tool"}], "session_properties": {"metadata": CONTENT}}
    )
    assert batch is not None
    changed = redact(redaction, batch[0])
    assert found_in((changed.events[0].kept or b"").replace(b'"4111111111111111"', b"")) == []
    assert found_in(changed.request.SerializeToString()) == []
    assert changed.events[1] == batch[0].events[1]


def test_projects_have_rules_of_their_own() -> None:
    redaction = Redaction(stored(a=Rules(("email",)), b=Rules(patterns=(("nr", "N[0-9]{4}"),))))
    text = "corpusada@example.org N1234"
    for call, named, expected in (
        (replace(CALL, key_project="a"), "b", "[REDACTED:email] N1234"),
        (replace(CALL, key_project="b"), "a", "corpusada@example.org [REDACTED:nr]"),
        (replace(INSTANCE_CALL, header_project="a"), "b", "[REDACTED:email] N1234"),
        (INSTANCE_CALL, "b", "corpusada@example.org [REDACTED:nr]"),
        (INSTANCE_CALL, "", text),
    ):
        request = event_service_pb2.CreateEventRequest()
        request.event.project, request.event.event_name = named, text
        redact(redaction, request, call)
        assert request.event.event_name == expected
    export = ExportTraceServiceRequest()
    for project in ("a", "b", "c"):
        group = export.resource_spans.add()
        group.resource.attributes.add(key="wandb.project").value.string_value = f"e/{project}"
        group.scope_spans.add().spans.add(name=text)
    redact(redaction, export, INSTANCE_CALL)
    assert [group.scope_spans[0].spans[0].name for group in export.resource_spans] == [
        "[REDACTED:email] N1234",
        "corpusada@example.org [REDACTED:nr]",
        text,
    ]


def test_a_project_by_whose_rules_nothing_was_redacted_gets_nothing() -> None:
    async def called() -> CallContext:
        request = event_service_pb2.CreateEventRequest()
        request.event.project = "a"
        return (await Redaction(stored()).request(request, INSTANCE_CALL))[1]

    call = asyncio.run(called())
    assert call.project("a") == "a"
    with pytest.raises(RuntimeError, match="another project"):
        call.project("b")


@pytest.mark.parametrize("message", ["plain", '{"api_key": "x"}'])
def test_bytes_that_were_read_are_not_made_again(message: str) -> None:
    """A message whose bytes have nothing is passed on as it is; any other is looked into."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name=message)

    async def read() -> Message | None:
        data = request.SerializeToString()
        found = await message_of(ExportTraceServiceRequest, data, 1 << 20)
        assert found == request
        is_clean = CLEAN.get() is found
        assert is_clean == (message == "plain")
        await Redaction(stored()).request(found, CALL)
        assert CLEAN.get() is None
        return found

    found = asyncio.run(read())
    assert (found == request) == (message == "plain")


def test_what_cannot_be_read_stays_in_a_stream() -> None:
    refusal = SpanloomError("INVALID_ARGUMENT", "INVALID_FIELD", "no")  # type: ignore[arg-type]
    request = span_service_pb2.ImportSpansRequest()
    request.span.name = '{"password": "x"}'

    async def requests() -> Any:
        for each in (refusal, request):
            yield each

    async def read() -> list[Any]:
        return [each async for each in Redaction(stored()).requests(requests(), CALL)]

    [first, second] = asyncio.run(read())
    assert first is refusal
    assert second.span.name == '{"password": "[REDACTED]"}'
