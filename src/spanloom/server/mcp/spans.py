"""The tool `read_span`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from spanloom.codec import json_codec
from spanloom.server.mcp.answer import Answer, block, code
from spanloom.server.mcp.arguments import Argument, ArgumentError
from spanloom.server.mcp.calls import Calls
from spanloom.v1 import span_service_pb2

READ: Final = (
    Argument("trace_id", "string", "The trace of the span.", required=True),
    Argument("span_id", "string", "The span.", required=True),
    Argument("path", "string", "A text of the span, such as an earlier answer names."),
    Argument("offset", "integer", "The first character of the text, to read on.", least=0),
)
# How long the texts of a span may be: the first that fits, with the rest by `path`.
_TEXT_LIMITS: Final = (4_000, 1_000, 200, 40)
# Of a text, in one answer.
_WINDOW: Final = 20_000
_MOST_CUTS: Final = 20


async def read_span(calls: Calls, given: Mapping[str, Any]) -> str:
    """A span as JSON, its long texts cut; or a part of one text."""
    place = {"trace_id": given["trace_id"], "span_id": given["span_id"]}
    trace, span = (quote(id, safe="") for id in place.values())
    link = calls.link(f"traces/{trace}?span={span}")
    if "path" in given:
        return await _text(calls, place, given, link)
    if "offset" in given:
        raise ArgumentError("`offset` needs `path`")
    answer = Answer()
    found: Any = None
    for limit in _TEXT_LIMITS:
        request = span_service_pb2.GetSpanRequest(**place, text_limit=limit)
        found = (await calls.one("SpanService/GetSpan", request)).span
        if answer.add(block(_json(found), "json")):
            break
    else:
        # So many values that even short ones do not fit: its parts by themselves.
        answer.add(block(_json(found)[: answer.left - 100], "json"))
        answer.add("The JSON is cut: the span has too many values.")
    cuts = [cut for cut in found.text_cuts if cut.path]
    for cut in cuts[:_MOST_CUTS]:
        answer.add(f"- {code(cut.path)} has {cut.length} characters")
    how = "Read a text that is cut with `path`." if cuts else ""
    return answer.end(how, link)


async def _text(calls: Calls, place: Mapping[str, str], given: Mapping[str, Any], link: str) -> str:
    request = span_service_pb2.ReadSpanTextRequest(
        **place, path=given["path"], offset=given.get("offset", 0), limit=_WINDOW
    )
    part = await calls.one("SpanService/ReadSpanText", request)
    answer = Answer()
    answer.add(block(part.text))
    end = part.offset + len(part.text)
    rest = f"Characters {part.offset} to {end} of {part.length}."
    if end < part.length:
        rest += f" Read on with `offset` {end}."
    return answer.end(rest, link)


def _json(span: Any) -> str:
    """The fields that have a value."""
    told = {name: value for name, value in orjson.loads(json_codec.to_json(span)).items() if value}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()
