"""`spanloom spans` and `spanloom span`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import condition_options, min_duration_option, span_filter
from spanloom.commands.connect import connects
from spanloom.commands.output import (
    Column,
    Output,
    as_json,
    limit_option,
    output_options,
    seconds_text,
    state_text,
    time_text,
)

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("span id", lambda s: s.span_id),
    Column("parent", lambda s: s.parent_span_id),
    Column("start (UTC)", lambda s: time_text(s.start_time)),
    Column("state", lambda s: state_text(s.status, running=not s.HasField("end_time"))),
    Column("kind", lambda s: _kind(s)),
    Column("name", lambda s: s.name),
    Column("seconds", lambda s: seconds_text(s.duration), is_number=True),
    Column("model", lambda s: s.model.response_model or s.model.request_model),
    Column("tokens in", lambda s: _number(s.model, "input_tokens"), is_number=True),
    Column("out", lambda s: _number(s.model, "output_tokens"), is_number=True),
    Column("agent", lambda s: s.agent.name),
    Column("message", lambda s: s.status.message),
)


def _kind(span: Any) -> str:
    from spanloom.v1.span_pb2 import SpanKind

    names = {number: name for name, number in SpanKind.items()}
    return names.get(span.kind, str(span.kind)).removeprefix("SPAN_KIND_").lower()


def _number(model: Any, field: str) -> str:
    return str(getattr(model, field)) if model.HasField(field) else ""


@click.command()
@click.argument("trace_id", metavar="TRACE")
@condition_options("name", "agent", "model", "tool", "text")
@min_duration_option
@click.option("--kind", "kinds", multiple=True, metavar="WORD", help="model, tool, agent, ...")
@click.option("--status", metavar="WORD", help="Only with this status: ok, error.")
@limit_option
@output_options
@connects
def spans(
    client: Client,
    *,
    output: Output,
    trace_id: str,
    conditions: dict[str, str],
    limit: int,
    **more: Any,
) -> None:
    """List the spans of a trace, earliest first, without their contents."""
    chosen = span_filter(conditions, **more)
    client.get_trace(trace_id)  # which fails if there is no such trace
    found = client.list_spans(chosen, trace_id=trace_id, basic=True)
    output.rows(found, COLUMNS, "span", limit=limit)


@click.command()
@click.argument("trace_id", metavar="TRACE")
@click.argument("span_id", metavar="SPAN")
@click.option("--path", help="Print this text alone: input, outputMessages[0].parts[0].text, ...")
@output_options
@connects
def span(client: Client, *, output: Output, trace_id: str, span_id: str, path: str | None) -> None:
    """Print a span with all of its contents, as JSON."""
    from spanloom.terminal import visible

    if path is not None:
        text = client.read_text(trace_id, span_id, path)
        sys.stdout.write(f"{visible(text) if sys.stdout.isatty() else text}\n")
        return
    found = client.get_span(trace_id, span_id)
    if output.format != "table":
        output.rows([found], (), "span")
        return
    told = {name: value for name, value in json.loads(as_json(found)).items() if value}
    sys.stdout.write(f"{json.dumps(told, indent=2, ensure_ascii=not sys.stdout.isatty())}\n")
