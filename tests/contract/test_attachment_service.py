"""AttachmentService, by its promises in proto/spanloom/v1/attachment_service.proto."""

from __future__ import annotations

import base64
import json
import random
from hashlib import sha256
from typing import Any

import httpx
import pytest

from spanloom.v1 import span_pb2, span_service_pb2
from tests.clients import CallError
from tests.contract.calls import create_events, create_trace, get_event, update_event
from tests.contract.conftest import Project
from tests.contract.test_otlp_logs_service import record, send
from tests.otlp.requests import MODEL, TRACE_ID, chat, request

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
GET = "AttachmentService/GetAttachment"
IMAGE = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(6000)
SOUND = random.Random(2).randbytes(5000)
PICTURE = base64.b64encode(IMAGE).decode()
DIGEST = sha256(IMAGE).hexdigest()
REFERENCE = f"attachment:sha256:{DIGEST}?type=image/png&size={len(IMAGE)}"


def get(project: Project, content: bytes = IMAGE, **fields: Any) -> Any:
    return project.send(GET, digest=sha256(content).hexdigest(), **fields)


def is_gone(project: Project, content: bytes = IMAGE) -> bool:
    try:
        get(project, content)
    except CallError as error:
        return error.reason == "ATTACHMENT_NOT_FOUND"
    return False


def asked(*parts: Any) -> Any:
    """A call of a model whose user sends these parts."""
    said = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]
    attributes = {**ATTRIBUTES, "gen_ai__input__messages": said}
    return request({**MODEL, "attributes": attributes})


ATTRIBUTES: Any = MODEL["attributes"]
HEADERS = {
    "content-type": "text/html",
    "x-content-type-options": "nosniff",
    "content-disposition": "attachment",
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "private, max-age=31536000, immutable",
}
SHAPES = {
    "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    "openai responses": {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
    "anthropic": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
    },
    "gemini": {
        "inlineData": {
            "mimeType": "image/png",
            "data": base64.urlsafe_b64encode(IMAGE).decode(),
        }
    },
    "conventions": {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": PICTURE,
    },
    "vercel": {"type": "image", "image": PICTURE, "mediaType": "image/png"},
    "vercel file": {"type": "file", "data": PICTURE, "mediaType": "image/png"},
    "bedrock": {"image": {"format": "png", "source": {"bytes": PICTURE}}},
}


@pytest.mark.parametrize("part", SHAPES.values(), ids=SHAPES)
def test_the_mark_in_a_chat_is_the_reference_of_an_attachment(project: Project, part: Any) -> None:
    project(EXPORT, asked(part))
    question, *_ = chat(project).messages
    assert list(question.user_message.content_refs) == [REFERENCE]
    found = get(project)
    assert found.content.data == IMAGE
    assert found.content.content_type == "image/png"


def test_get_attachment_gives_a_part(project: Project) -> None:
    create_events(project, {"event_id": "e", "inputs": {"image": PICTURE}})
    whole = get(project).content.data
    assert whole == IMAGE
    assert get(project, offset=8).content.data == IMAGE[8:]
    assert get(project, offset=8, max_bytes=10).content.data == IMAGE[8:18]
    assert get(project, offset=len(IMAGE)).content.data == b""
    for wrong in ({"digest": "x"}, {"digest": DIGEST, "offset": -1}):
        with pytest.raises(CallError, match="INVALID_FIELD"):
            project.send(GET, **wrong)


def test_get_attachment_gives_nothing_of_another_project(project: Project) -> None:
    create_events(project, {"event_id": "e", "inputs": {"image": PICTURE}})
    assert is_gone(project.neighbour())
    assert is_gone(project, SOUND)


def test_what_was_sent_is_given_back(project: Project) -> None:
    """Whatever API brought it, in every view."""
    sent = asked(SHAPES["openai"], SHAPES["gemini"])
    project(EXPORT, sent)
    exported = project.send("TraceExportService/ExportTrace", traceId=TRACE_ID).document
    [[scope]] = [group["scopeSpans"] for group in json.loads(exported.data)["resourceSpans"]]
    said = {
        each["key"]: each["value"].get("stringValue") for each in scope["spans"][0]["attributes"]
    }
    [told] = sent.resource_spans[0].scope_spans[0].spans
    assert said["gen_ai.input.messages"] == next(
        each.value.string_value for each in told.attributes if each.key == "gen_ai.input.messages"
    )
    sound = base64.b64encode(SOUND).decode()
    inputs = {"image": PICTURE, "sound": [f"data:audio/x;base64,{sound}"]}
    create_events(project, {"event_id": "e", "inputs": inputs})
    assert get_event(project, "e")["inputs"] == inputs
    logs = [{"id": "g", "type": "span", "input": PICTURE}]
    create_trace(project, id="b", name="bot", logs=logs)
    [log] = project.send("TraceService/GetTrace", traceId="b").trace.logs
    assert log.input.string_value == PICTURE
    assert get(project, SOUND).content.content_type == "audio/x"
    update_event(project, "e", metadata={"picture": "seen"})
    assert get_event(project, "e")["inputs"] == inputs


def test_media_of_the_native_api_are_attachments(project: Project) -> None:
    span = span_pb2.Span(trace_id="t", span_id="s", kind=span_pb2.SPAN_KIND_MODEL)
    parts = span.input_messages.add(role="user").parts
    parts.add().media.data = IMAGE
    parts.add().media.MergeFrom(span_pb2.Media(data=SOUND, mime_type="audio/x"))
    parts.add().media.data = SOUND
    project("SpanService/WriteSpans", span_service_pb2.WriteSpansRequest(spans=[span]))
    assert get(project).content.content_type == "image/png"
    assert get(project, SOUND).content.data == SOUND
    found = project.send("SpanService/GetSpan", traceId="t", spanId="s").span
    assert [part.media.data for part in found.input_messages[0].parts] == [IMAGE, SOUND, SOUND]


def test_a_log_event_brings_an_attachment(project: Project) -> None:
    picture = {"content": [SHAPES["openai"]]}
    send(project, record("gen_ai.user.message", json.dumps(picture), gen_ai__system="openai"))
    assert get(project).content.data == IMAGE  # its span has not come yet
    project(EXPORT, request({**MODEL, "parent": 0}))
    assert get(project).content.data == IMAGE
    project.send("TraceService/DeleteTrace", traceId=TRACE_ID)
    assert is_gone(project)


def test_an_attachment_is_deleted_with_its_last_span(project: Project) -> None:
    project(EXPORT, asked(SHAPES["openai"]))
    create_events(
        project,
        {"event_id": "e", "session_id": "s", "inputs": {"image": PICTURE}},
        {"event_id": "f", "session_id": "s", "inputs": {"image": PICTURE}},
    )
    project.send("TraceService/DeleteTrace", traceId=TRACE_ID)
    project.send("EventService/DeleteEvent", event_id="e")
    assert get(project).content.data == IMAGE
    create_events(project, {"event_id": "f", "session_id": "s", "inputs": {"image": "none"}})
    assert is_gone(project)
    create_events(project, {"event_id": "f", "session_id": "s", "inputs": {"image": PICTURE}})
    assert get(project).content.data == IMAGE
    project.send("SessionService/DeleteSession", session_id="s")
    assert is_gone(project)
    create_events(project, {"event_id": "g", "inputs": {"image": "none"}})
    update_event(project, "g", outputs={"image": PICTURE})
    assert get_event(project, "g")["outputs"] == {"image": PICTURE}
    assert get(project).content.data == IMAGE
    project.send("EventService/DeleteEvent", event_id="g")
    assert is_gone(project)


def test_a_browser_never_runs_an_attachment(project: Project) -> None:
    page = b"<script>alert(1)</script>" + SOUND
    text = base64.b64encode(page).decode()
    create_events(project, {"event_id": "e", "inputs": {"p": f"data:text/html;base64,{text}"}})
    digest = sha256(page).hexdigest()
    address = f"http://{project.server.running.http_address}/v1/attachments"
    key = {"authorization": f"Bearer {project.key}"}
    for name in (digest, f"sha256:{digest}"):
        answer = httpx.get(f"{address}/{name}", headers=key)
        assert (answer.status_code, answer.content) == (200, page)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["etag"] == f'"{digest}"'
    assert httpx.get(f"{address}/{'0' * 64}", headers=key).status_code == 404
    assert httpx.get(f"{address}/{digest}").status_code == 401
    instance = {"authorization": f"Bearer {project.server.key()}"}
    assert httpx.get(f"{address}/{digest}", headers=instance).status_code == 404
    named = httpx.get(f"{address}/{digest}?project={project.name}", headers=instance)
    assert named.content == page
