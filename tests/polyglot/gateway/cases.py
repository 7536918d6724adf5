"""Requests that a REST client may send, good and bad, for comparing transcoders.

`{id}` in a request is an id that no other request has, `{key}` the key. A case is sent after its
setup, which goes to Spanloom itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

JSON = {"content-type": "application/json"}
ANONYMOUS = {"authorization": ""}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    # JSON, a text that is sent as it is, bytes, or None for no body.
    body: Any = None
    headers: dict[str, str] = field(default_factory=lambda: JSON)


@dataclass(frozen=True)
class Case:
    name: str
    request: Request
    setup: tuple[Request, ...] = ()


def get(path: str, **headers: str) -> Request:
    return Request("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})


def post(path: str, body: Any = None, **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", path, body, sent or JSON)


def span(**fields: Any) -> dict[str, Any]:
    return {"traceId": "{id}", "spanId": "s", "name": "ask", **fields}


def write(*spans: dict[str, Any] | str, **fields: Any) -> Request:
    return post("/v1/spans:write", {"spans": [*(spans or [span(**fields)])]})


def model(**fields: Any) -> Request:
    return write(model={"requestModel": "m", **fields})


def raw(fields: str) -> Request:
    """A span of which a part is written as text."""
    return post("/v1/spans:write", '{"spans":[{"traceId":"{id}","spanId":"s",' + fields + "}]}")


TIMES = {"startTime": "2026-05-01T12:00:00Z", "endTime": "2026-05-01T12:00:02.5Z"}
ASKED = write(
    span(spanId="1", name="answer", conversationId="c-{id}", **TIMES),
    span(
        spanId="2",
        parentSpanId="1",
        conversationId="c-{id}",
        model={"provider": "p", "requestModel": "m", "inputTokens": 35, "outputTokens": "2"},
        inputMessages=[{"role": "user", "parts": [{"text": "What?"}]}],
        outputMessages=[{"role": "assistant", "parts": [{"text": "That."}]}],
        attributes={"a": {"intValue": "9007199254740993"}},
        metadata={"n": [1, None, {"b": True}]},
        **TIMES,
    ),
)
SLASH = write(span(spanId="a/b", **TIMES))
TRACE = post("/monitor/trace", {"id": "{id}", "featureSlug": "f", "input": "in", **TIMES})
EVENT = post(
    "/events/batch",
    {
        "events": [
            {
                "event_id": "{id}",
                "event_type": "model",
                "session_id": "s-{id}",
                "start_time": 1767225600000,
                "duration": 5,
                "inputs": {"question": "q"},
            }
        ]
    },
)
MINE = [{"field": "session_id", "operator": "is", "value": "s-{id}"}]
PROMPT = post("/v1/prompts", {"slug": "p-{id}", "text": "Hi", "tags": ["production"]})
REVIEW = {"target": {"traceId": "{id}"}, "name": "helpful", "score": 1}
OF = "/v1/traces/{id}"

GOOD = [
    Case("write spans", ASKED),
    Case("write spans by proto names", write({"trace_id": "{id}", "span_id": "s", "name": "n"})),
    Case("get a span", get(f"{OF}/spans/2"), (ASKED,)),
    Case("get a span shortened", get(f"{OF}/spans/2?textLimit=2"), (ASKED,)),
    Case("list the spans of a trace", get(f"{OF}/spans"), (ASKED,)),
    Case("list spans by the query", get("/v1/spans?traceId={id}&pageSize=5"), (ASKED,)),
    Case("list spans by proto names", get("/v1/spans?trace_id={id}&page_size=5"), (ASKED,)),
    Case("filter by an enum", get(f"{OF}/spans?filter.kinds=SPAN_KIND_MODEL"), (ASKED,)),
    Case("filter by an enum's number", get(f"{OF}/spans?filter.kinds=2"), (ASKED,)),
    Case(
        "filter by two enums",
        get(f"{OF}/spans?filter.kinds=SPAN_KIND_MODEL&filter.kinds=SPAN_KIND_STEP"),
        (ASKED,),
    ),
    Case("filter by a duration", get(f"{OF}/spans?filter.minDuration=3.5s"), (ASKED,)),
    Case(
        "filter by a time with an offset",
        get(f"{OF}/spans?filter.startTimeFrom=2026-05-01T12:00:00%2B02:00"),
        (ASKED,),
    ),
    Case("the basic view", get(f"{OF}/spans?view=SPAN_VIEW_BASIC"), (ASKED,)),
    Case("read a text", get(f"{OF}/spans/2:readText?path=name&offset=1&limit=1"), (ASKED,)),
    Case("update a span", Request("PATCH", f"{OF}/spans/2", {"name": "new"}, dict(JSON)), (ASKED,)),
    Case(
        "update a part of a Struct",
        Request("PATCH", f"{OF}/spans/2", {"metadata": {"more": {"a": 1}}}, dict(JSON)),
        (ASKED,),
    ),
    Case(
        "update by a mask",
        Request("PATCH", f"{OF}/spans/2?updateMask=name,output", {"name": "new"}, dict(JSON)),
        (ASKED,),
    ),
    Case(
        "update by a mask of JSON names",
        Request("PATCH", f"{OF}/spans/2?updateMask=endTime,expectedOutput", {}, dict(JSON)),
        (ASKED,),
    ),
    Case(
        "update by a mask of proto names",
        Request("PATCH", f"{OF}/spans/2?updateMask=end_time,expected_output", {}, dict(JSON)),
        (ASKED,),
    ),
    Case(
        "delete spans",
        post("/v1/spans:delete", {"spans": [{"traceId": "{id}", "spanId": "2"}]}),
        (ASKED,),
    ),
    Case("delete a trace's spans", Request("DELETE", f"{OF}/spans"), (ASKED,)),
    Case("delete what may be missing", Request("DELETE", f"{OF}/spans?allowMissing=true")),
    Case("list messages", get(f"{OF}/messages"), (ASKED,)),
    Case("list a conversation's messages", get("/v1/conversations/c-{id}/messages"), (ASKED,)),
    Case("summarize a trace", get(f"{OF}/summary"), (ASKED,)),
    Case("outline a trace", get(f"{OF}/outline"), (ASKED,)),
    Case("get a conversation", get("/v1/conversations/c-{id}"), (ASKED,)),
    Case("who calls", get("/v1/caller")),
    Case("write a review", Request("PUT", "/v1/reviews/r-{id}", REVIEW, dict(JSON))),
    Case("a verb without a body", get(f"{OF}:otlp"), (ASKED,)),
    Case("create a trace", TRACE),
    Case("get a trace", get(OF), (TRACE,)),
    Case("delete a trace", Request("DELETE", OF), (TRACE,)),
    Case("create events", EVENT),
    Case("get an event", get("/v1/events/{id}"), (EVENT,)),
    Case(
        "update an event",
        Request("PUT", "/v1/events/{id}", {"metadata": {"a": 1}}, dict(JSON)),
        (EVENT,),
    ),
    Case("get a session", get("/session/s-{id}"), (EVENT,)),
    Case("export events", post("/events/export", {"filters": MINE}), (EVENT,)),
    Case(
        "a JSON name with a dollar sign",
        get("/v1/events?dateRange.$gte=2030-01-01T00:00:00Z&limit=1"),
    ),
    Case("stream events", post("/v1/events/stream", {"filters": MINE}), (EVENT,)),
    Case(
        "a chat of an agent",
        post("/agents/traces/chat", {"project_id": "default", "trace_id": "s-{id}"}),
        (EVENT,),
    ),
    Case("create a data set", post("/v1/datasets", {"slug": "d-{id}", "columns": ["a", "b"]})),
    Case("create a prompt", PROMPT),
    Case("get a prompt", get("/prompts/p-{id}?tag=production"), (PROMPT,)),
]
VALUES = [
    Case("int64 as a text", model(inputTokens="12")),
    Case("int64 as a number", model(inputTokens=12)),
    Case("int64 with an exponent", raw('"model":{"inputTokens":1e1}')),
    Case("int64 with a fraction", model(inputTokens=1.5)),
    Case("int64 too large", model(inputTokens="9223372036854775808")),
    Case("int64 as a word", model(inputTokens="many")),
    Case("double as a text", model(costUsd="0.5")),
    Case("double as NaN", model(costUsd="NaN")),
    Case("NaN without quotes", raw('"model":{"costUsd":NaN}')),
    Case("a number for a string", write(name=5)),
    Case("a string for a message", write(model="m")),
    Case("a text for a list", post("/v1/prompts", {"slug": "p-{id}", "text": "a", "tags": "b"})),
    Case("a list in a list", post("/v1/prompts", {"slug": "p-{id}", "text": "a", "tags": [["b"]]})),
    Case("a boolean for a string", write(name=True)),
    Case("a message for a list", post("/v1/spans:write", {"spans": span()})),
    Case("a boolean as a text", write(attributes={"a": {"boolValue": "true"}})),
    Case("an enum's number", write(kind=2)),
    Case("an unknown enum value", write(kind="SPAN_KIND_NONE")),
    Case("an unknown enum number", write(kind=99)),
    Case("an enum in small letters", write(kind="span_kind_model")),
    Case("a time with an offset", write(startTime="2026-05-01T12:00:00+02:00")),
    Case("a time without a zone", write(startTime="2026-05-01T12:00:00")),
    Case("a time as a number", write(startTime=1777636800)),
    Case("a time that is none", write(startTime="yesterday")),
    Case("a time with ten digits of a second", write(startTime="2026-05-01T12:00:00.1234567891Z")),
    Case("a duration", write(duration="1.5s")),
    Case("a duration that is none", write(duration="1.5")),
    Case("null for a field", write(model=None, name=None)),
    Case("null for a Value", write(input=None)),
    Case("null in a list", post("/v1/spans:write", {"spans": [None]})),
    Case("two members of a oneof", write(attributes={"a": {"stringValue": "a", "intValue": "1"}})),
    Case("base64 that is none", write(attributes={"a": {"bytesValue": "*"}})),
    Case("base64 for URLs", write(attributes={"a": {"bytesValue": "_-8"}})),
    Case("an unknown field", write(nope=1)),
    Case("an unknown field, vendor's", post("/monitor/trace", {"id": "{id}", "nope": 1})),
    Case("a name in both spellings", raw('"parentSpanId":"a","parent_span_id":"b"')),
    Case("a name twice", raw('"name":"a","name":"b"')),
    Case("a lone surrogate", raw('"name":"\\ud800"')),
    Case("a large integer in a Struct", raw('"metadata":{"n":9007199254740993}')),
    Case("deep nesting", raw('"input":' + "[" * 150 + "]" * 150)),
    Case("a text for a message, vendor's", post("/session/start", {"session": '{"source":"x"}'})),
]
BODIES = [
    Case("no body", post("/v1/spans:write", "")),
    Case("an empty object", post("/v1/spans:write", {})),
    Case("no JSON", post("/v1/spans:write", "{not json")),
    Case("text after the body", post("/v1/spans:write", '{"spans":[]} more')),
    Case("two documents", post("/monitor/trace", '{"id":"{id}"}{"id":"x"}')),
    Case("a list for the body", post("/v1/spans:write", "[]")),
    Case("null for the body", post("/v1/spans:write", "null")),
    Case("bytes that are no UTF-8", post("/monitor/trace", b'{"id":"{id}","name":"\xff"}')),
    Case("a byte order mark", post("/monitor/trace", b'\xef\xbb\xbf{"id":"{id}"}')),
    Case("text/plain", post("/monitor/trace", {"id": "{id}"}, content_type="text/plain")),
    Case("a form", post("/monitor/trace", "a=b", content_type="application/x-www-form-urlencoded")),
    Case("gzip", post("/monitor/trace", {"id": "{id}"}, **JSON, content_encoding="gzip")),
    Case("an unknown encoding", post("/monitor/trace", "xx", **JSON, content_encoding="br")),
    Case("a required field is missing", write({"spanId": "s"})),
    Case("an invalid field deep down", write(span(), span(spanId="t", kind=99, **TIMES))),
    Case("the same ids twice", write(span(), span())),
    Case("GET with a body", Request("GET", f"{OF}/spans/2", {"spanId": "1"}), (ASKED,)),
    Case("DELETE with a body", Request("DELETE", f"{OF}/spans", {"traceId": "x"}), (ASKED,)),
]
QUERIES = [
    Case("an unknown name", get(f"{OF}/spans?nope=1"), (ASKED,)),
    Case("an unknown name, vendor's", get("/v1/traces?nope=1&text={id}")),
    Case("a bad integer", get(f"{OF}/spans?pageSize=many")),
    Case("a negative size", get(f"{OF}/spans?pageSize=-1")),
    Case("a single value twice", get(f"{OF}/spans?pageSize=1&pageSize=2"), (ASKED,)),
    Case("an empty integer", get(f"{OF}/spans?pageSize="), (ASKED,)),
    Case("an empty text", get(f"{OF}/spans?filter.name="), (ASKED,)),
    Case("a bad token", get(f"{OF}/spans?pageToken=xyz")),
    Case("a bad enum", get(f"{OF}/spans?filter.kinds=nope")),
    Case("a bad time", get(f"{OF}/spans?filter.startTimeFrom=yesterday")),
    Case("a plus sign", get(f"{OF}/spans?filter.name=a+b"), (ASKED,)),
    Case("a boolean as 1", Request("DELETE", f"{OF}/spans?allowMissing=1")),
    Case("a boolean as t", Request("DELETE", f"{OF}/spans?allowMissing=t")),
    Case("an integer with a blank", get(f"{OF}/spans?pageSize=+5"), (ASKED,)),
    Case("an integer with a fraction", get(f"{OF}/spans?pageSize=5.0"), (ASKED,)),
    Case("an integer with an exponent", get(f"{OF}/spans?pageSize=1e1"), (ASKED,)),
    Case("an integer with zeros", get(f"{OF}/spans?pageSize=05"), (ASKED,)),
    Case("a boolean as yes", Request("DELETE", f"{OF}/spans?allowMissing=yes")),
    Case("a message's name", get(f"{OF}/spans?filter=x"), (ASKED,)),
    Case("the path's variable again", get(f"{OF}/spans/2?spanId=1"), (ASKED,)),
    Case("beside the whole body", post("/monitor/trace?name=x", {"id": "{id}"})),
    Case("a bad update mask", Request("PATCH", f"{OF}/spans/2?updateMask=nope", {}), (ASKED,)),
]
PATHS = [
    Case("an unknown path", get("/nope")),
    Case("a trailing slash", get("/v1/spans/")),
    Case("a trailing slash before an id", get("/datasets/")),
    Case("a trailing slash after an id", get(f"{OF}/spans/2/"), (ASKED,)),
    Case("two slashes", get("//v1/caller")),
    Case("an encoded slash in an id", get(f"{OF}/spans/a%2Fb"), (SLASH,)),
    Case("an encoded letter", get("/v1/c%61ller")),
    Case("a plus sign in an id", get(f"{OF}/spans/a+b")),
    Case("a space in an id", get(f"{OF}/spans/a%20b")),
    Case("UTF-8 in an id", get(f"{OF}/spans/%C3%BC")),
    Case("a bad escape", get(f"{OF}/spans/%zz")),
    Case("a colon in an id", get(f"{OF}/spans/a:b")),
    Case("an unknown verb", get("/v1/spans:nope")),
]
METHODS = [
    Case("GET for POST", get("/v1/spans:write")),
    Case("PUT for POST", Request("PUT", "/v1/spans:write", {})),
    Case("PATCH for GET", Request("PATCH", "/v1/caller", {})),
    Case("HEAD", Request("HEAD", f"{OF}/spans/2"), (ASKED,)),
    Case("OPTIONS", Request("OPTIONS", "/v1/spans:write")),
]
KEYS = [
    Case("no key", Request("GET", "/v1/caller", None, ANONYMOUS)),
    Case("a wrong key", Request("GET", "/v1/caller", None, {"authorization": "Bearer nope"})),
    Case(
        "Weave's header",
        Request("GET", "/v1/caller", None, {**ANONYMOUS, "wandb-api-key": "{key}"}),
    ),
    Case("another project", get("/v1/caller", x_spanloom_project="nope-{id}")),
    Case("not found", get(f"{OF}/spans/none")),
    Case("a request id of the client's", get(f"{OF}/spans/none", x_request_id="mine")),
]
CASES = [*GOOD, *VALUES, *BODIES, *QUERIES, *PATHS, *METHODS, *KEYS]
