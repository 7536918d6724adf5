"""`spanloom usage` and `spanloom agents`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import condition_options, enum_value
from spanloom.commands.connect import check_project, connects
from spanloom.commands.output import (
    Column,
    Output,
    cost_text,
    output_options,
    seconds_text,
    time_text,
)
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

_PERIOD = timedelta(days=30)
_FIGURES = (
    Column("traces", lambda p: str(p.trace_count), is_number=True),
    Column("failed", lambda p: str(p.failed_trace_count), is_number=True),
    Column("calls", lambda p: str(p.figures.model_call_count), is_number=True),
    Column("tools", lambda p: str(p.figures.tool_call_count), is_number=True),
    Column("tokens in", lambda p: str(p.figures.input_tokens), is_number=True),
    Column("out", lambda p: str(p.figures.output_tokens), is_number=True),
    Column("USD", lambda p: cost_text(p.figures), is_number=True),
    Column("errors", lambda p: str(p.figures.error_count), is_number=True),
    Column("p95 s", lambda p: seconds_text(p.duration_p95), is_number=True),
)


def _group(heading: str, place: int) -> Column:
    return Column(heading, lambda p: "(others)" if p.other_groups else p.group[place])


@click.command()
@since_and_until
@click.option(
    "--by",
    default="model",
    show_default=True,
    metavar="WORDS",
    help="model, provider, agent, user, feature, environment, name, kind, origin; with commas.",
)
@click.option("--bucket", metavar="WORD", help="Also by hour, day, week or month.")
@click.option("--time-zone", default="", metavar="NAME", help="Of the buckets [default: UTC].")
@condition_options("user", "feature", "agent", "model", "provider", "environment")
@output_options
@connects
def usage(
    client: Client,
    *,
    output: Output,
    since: datetime | None,
    until: datetime | None,
    by: str,
    bucket: str | None,
    time_zone: str,
    conditions: dict[str, Any],
) -> None:
    """Print sums of calls, tokens and costs. Without --since: those of the last 30 days."""
    from spanloom.v1.query_pb2 import UsageBucket, UsageDimension, UsageFilter

    words = [word.strip() for word in by.split(",") if word.strip()]
    chosen = [enum_value(UsageDimension, "USAGE_DIMENSION_", word, "sum by") for word in words]
    points = client.usage(
        since or datetime.now(UTC) - _PERIOD,
        until,
        by=chosen,
        bucket=enum_value(UsageBucket, "USAGE_BUCKET_", bucket, "bucket") if bucket else 0,  # type: ignore[arg-type]
        filter=UsageFilter(**conditions),
        time_zone=time_zone,
    )
    time = (Column("from (UTC)", lambda p: time_text(p.bucket_time)),) if bucket else ()
    groups = tuple(_group(word, place) for place, word in enumerate(words))
    if not output.rows(points, (*time, *groups, *_FIGURES), "row"):
        check_project(client)


@click.command()
@since_and_until
@output_options
@connects
def agents(
    client: Client, *, output: Output, since: datetime | None, until: datetime | None
) -> None:
    """List agents with what they did. Without --since: in the last 30 days."""
    from spanloom.v1.query_pb2 import USAGE_DIMENSION_AGENT, USAGE_DIMENSION_AGENT_VERSION

    points = client.usage(
        since or datetime.now(UTC) - _PERIOD,
        until,
        by=[USAGE_DIMENSION_AGENT, USAGE_DIMENSION_AGENT_VERSION],
    )
    named = [point for point in points if point.other_groups or point.group[0]]
    columns = (
        _group("agent", 0),
        _group("version", 1),
        *_FIGURES,
        Column("last start (UTC)", lambda p: time_text(p.last_start_time)),
    )
    if not output.rows(named, columns, "agent"):
        check_project(client)
