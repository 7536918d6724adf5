"""`spanloom tail`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import attribute_option, condition_options, span_filter
from spanloom.commands.connect import connects
from spanloom.commands.output import as_json, one_line, seconds_text, state_text

if TYPE_CHECKING:
    from spanloom.client import Client


@click.command()
@condition_options(*("session", "name", "user", "feature", "agent", "model", "tool", "environment"))
@click.option("--trace", default="", metavar="ID", help="Only spans of this trace.")
@click.option("--kind", "kinds", multiple=True, metavar="WORD", help="model, tool, agent, ...")
@click.option("--status", metavar="WORD", help="Only with this status: ok, error.")
@attribute_option
@click.option("--limit", type=click.IntRange(0), default=0, help="End after so many spans.")
@click.option("--jsonl", is_flag=True, help="Print a JSON object a line, with all contents.")
@connects
def tail(
    client: Client,
    *,
    conditions: dict[str, str],
    trace: str,
    limit: int,
    jsonl: bool,
    **more: Any,
) -> None:
    """Print spans as they are stored, until Ctrl-C."""
    chosen = span_filter(conditions, **more)
    responses = client.tail_spans(chosen, trace_id=trace, basic=not jsonl)
    for number, span in enumerate(_spans(responses), 1):
        sys.stdout.write(f"{as_json(span) if jsonl else line(span)}\n")
        sys.stdout.flush()
        if number == limit:
            return


def line(span: Any) -> str:
    """A span on a line, in which nothing controls the terminal."""
    from spanloom.commands.output import time_text

    running = not span.HasField("end_time")
    facts = [
        time_text(span.start_time),
        state_text(span.status, running=running),
        f"{seconds_text(span.duration)} s",
        span.trace_id,
        span.name,
        span.model.response_model or span.model.request_model,
        span.status.message,
    ]
    return "  ".join(one_line(fact) for fact in facts if fact)


def _spans(responses: Iterator[Any]) -> Iterator[Any]:
    for response in responses:
        yield from response.spans
