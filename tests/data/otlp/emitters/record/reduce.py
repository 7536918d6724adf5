"""Makes the files of this directory's parent of what `record.py` kept.

    python reduce.py NAME DIRECTORY [SPAN...]

It writes NAME.json, the spans, and NAME.logs.json, the log records, as OTLP/JSON. Of the attributes
of resources it keeps those of the service and the SDK; it drops where code and hosts are; it cuts
long texts, and lists of many tools. With names of SPANs, it keeps these and those above them.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
IDS = ("traceId", "spanId", "parentSpanId")
KEPT_OF_RESOURCES = ("service.name", "service.version", "telemetry.sdk.", "session.id", "user.id")
DROPPED = re.compile(
    r"code\.|host\.|os\.|process\.|installation\.id|exception\.stacktrace|http\.url$|url\."
    r"|hidden_params$|metadata\.requester|thread\.|busy_ns|idle_ns|auth\.|target$|level$"
)
LOCAL = re.compile(r"127\.0\.0\.1:\d+")
PATHS = re.compile(r"/(?:tmp|home|root)/[\w./\-]+")
LONGEST, CUT, MOST_TOOLS = 1500, 120, 1
TOOL_LISTS = ("tools", "definitions", "functions", "functionDeclarations")


def spans_of(body: bytes, kind: str, signal: str) -> dict[str, Any]:
    if kind == "json":
        return json.loads(body)
    message = REQUESTS[signal].FromString(body)
    return json_format.MessageToDict(message, preserving_proto_field_name=False)


def hexadecimal(value: str) -> str:
    """An id as OTLP/JSON has it, from that of protobuf's own JSON."""
    is_hex = re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{32}", value)
    return value if is_hex else base64.b64decode(value).hex()


def plain(text: str) -> str:
    return PATHS.sub("/home/ann/weather", LOCAL.sub("127.0.0.1:8080", text))


def shortened(value: Any, key: str = "") -> Any:
    """JSON with short texts, and with few tools."""
    if isinstance(value, str):
        inner = within(value)
        if inner is not None:
            made = shortened(inner, key)
            return value if made == inner else json.dumps(made, ensure_ascii=False)
        return value if len(value) <= LONGEST else value[:CUT] + "..."
    if isinstance(value, dict):
        return {k: shortened(inner, k) for k, inner in value.items()}
    if isinstance(value, list):
        most = MOST_TOOLS if key.endswith(TOOL_LISTS) else len(value)
        return [shortened(inner, key if most == MOST_TOOLS else "") for inner in value[:most]]
    return value


def within(text: str) -> Any:
    """The JSON in a text, None if it is none."""
    if text[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def attributes(pairs: list[dict[str, Any]], *, of_resource: bool = False) -> list[dict[str, Any]]:
    kept = []
    for pair in pairs:
        key, value = pair["key"], pair.get("value", {})
        if of_resource and not key.startswith(KEPT_OF_RESOURCES):
            continue
        if DROPPED.match(key):
            continue
        if "stringValue" in value:
            value = {"stringValue": shortened(plain(value["stringValue"]), key)}
        kept.append({"key": key, "value": value})
    return kept


def reduced(item: dict[str, Any]) -> dict[str, Any]:
    """A span, an event or a log record."""
    made = dict(item)
    for key in IDS:
        if made.get(key):
            made[key] = hexadecimal(made[key])
    if "attributes" in made:
        made["attributes"] = attributes(made["attributes"])
    if "events" in made:
        made["events"] = [reduced(event) for event in made["events"]]
    if "traceState" in made:
        made["traceState"] = plain(made["traceState"])
    if "stringValue" in made.get("body", {}):
        made["body"] = {"stringValue": shortened(plain(made["body"]["stringValue"]))}
    return made


def wanted(spans: list[dict[str, Any]], names: list[str]) -> set[str]:
    """The ids of the spans with these names, and of those above them."""
    above = {span["spanId"]: span.get("parentSpanId") for span in spans}
    found: set[str] = set()
    for span in spans:
        here = span["spanId"] if span["name"] in names or not names else None
        while here in above and here not in found:
            found.add(here)
            here = above[here]
    return found


def main(name: str, directory: str, *names: str) -> None:
    for signal, outer, inner, items in (
        ("traces", "resourceSpans", "scopeSpans", "spans"),
        ("logs", "resourceLogs", "scopeLogs", "logRecords"),
    ):
        groups: list[dict[str, Any]] = []
        for path in sorted(Path(directory).glob(f"*.{signal}.*")):
            groups += spans_of(path.read_bytes(), path.suffix[1:], signal).get(outer, [])
        for group in groups:
            resource = group.get("resource", {})
            kept = attributes(resource.get("attributes", []), of_resource=True)
            group["resource"] = {"attributes": kept}
            for scoped in group[inner]:
                scoped[items] = [reduced(item) for item in scoped[items]]
        if signal == "traces":
            every = [s for g in groups for scoped in g[inner] for s in scoped[items]]
            ids = wanted(every, list(names))
            for group in groups:
                for scoped in group[inner]:
                    scoped[items] = [s for s in scoped[items] if s["spanId"] in ids]
                group[inner] = [scoped for scoped in group[inner] if scoped[items]]
        groups = [group for group in groups if group[inner]]
        if groups:
            end = ".json" if signal == "traces" else ".logs.json"
            made = json.dumps({outer: groups}, ensure_ascii=False, separators=(",", ":"))
            (Path(__file__).parent.parent / (name + end)).write_text(made + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
