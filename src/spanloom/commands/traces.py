"""`spanloom traces`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import (
    attribute_option,
    condition_options,
    enum_value,
    min_duration_option,
)
from spanloom.commands.connect import check_project, connects
from spanloom.commands.output import (
    Column,
    Output,
    cost_text,
    limit_option,
    output_options,
    seconds_text,
    state_text,
    time_text,
)
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("trace id", lambda t: t.trace_id),
    Column("start (UTC)", lambda t: time_text(t.start_time)),
    Column("state", lambda t: _state(t)),
    Column("name", lambda t: t.name),
    Column("seconds", lambda t: seconds_text(t.duration), is_number=True),
    Column("calls", lambda t: str(t.figures.model_call_count), is_number=True),
    Column("tokens in", lambda t: str(t.figures.input_tokens), is_number=True),
    Column("out", lambda t: str(t.figures.output_tokens), is_number=True),
    Column("USD", lambda t: cost_text(t.figures), is_number=True),
    Column("user", lambda t: t.user.id),
    Column("input", lambda t: t.input_preview),
)


def _state(trace: Any) -> str:
    running = not trace.HasField("end_time")
    return state_text(trace.status, running=running, errors=trace.figures.error_count)


@click.command()
@since_and_until
@condition_options(
    *("session", "name", "user", "feature", "agent", "model", "experiment", "environment", "text")
)
@min_duration_option
@click.option("--min-cost", type=click.FloatRange(0), metavar="USD", help="Only above this cost.")
@click.option(
    "--status",
    metavar="WORD",
    help="ok: of the root; error: an error anywhere, as --errors.",
)
@click.option("--errors", is_flag=True, help="Only with an error anywhere.")
@click.option("--running", is_flag=True, help="Only those that have not ended.")
@attribute_option
@click.option(
    "--order",
    default="start-time",
    metavar="WORD",
    help="start-time, duration, cost, tokens, errors.",
)
@limit_option
@output_options
@connects
def traces(
    client: Client,
    *,
    output: Output,
    conditions: dict[str, str],
    since: datetime | None,
    until: datetime | None,
    min_duration: timedelta | None,
    min_cost: float | None,
    status: str | None,
    errors: bool,
    running: bool,
    attributes: tuple[str, ...],
    order: str,
    limit: int,
) -> None:
    """List traces, latest first."""
    from spanloom.client.values import to_timestamp
    from spanloom.v1.query_pb2 import TraceFilter, TraceOrder
    from spanloom.v1.span_pb2 import StatusCode

    chosen = TraceFilter(
        **conditions,  # type: ignore[arg-type]
        start_time_from=to_timestamp(since),
        start_time_before=to_timestamp(until),
        attributes=attributes,
        min_cost_usd=min_cost,
        has_error=errors or None,
        running=running or None,
    )
    if status and status.lower() == "error":
        chosen.has_error = True
    elif status:
        chosen.status_code = enum_value(StatusCode, "STATUS_CODE_", status, "status")
    if min_duration is not None:
        chosen.min_duration.FromTimedelta(min_duration)
    by = enum_value(TraceOrder, "TRACE_ORDER_", order, "order")
    if not output.rows(client.list_traces(chosen, order=by), COLUMNS, "trace", limit=limit):
        check_project(client)
