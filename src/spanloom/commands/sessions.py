"""`spanloom sessions`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from spanloom.commands.conditions import condition_options
from spanloom.commands.connect import check_project, connects
from spanloom.commands.output import (
    Column,
    Output,
    cost_text,
    limit_option,
    output_options,
    time_text,
)
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("conversation id", lambda c: c.conversation_id),
    Column("last activity (UTC)", lambda c: time_text(c.last_activity_time)),
    Column("state", lambda c: "errors inside" if c.figures.error_count else "ok"),
    Column("traces", lambda c: str(c.trace_count), is_number=True),
    Column("calls", lambda c: str(c.figures.model_call_count), is_number=True),
    Column("tokens in", lambda c: str(c.figures.input_tokens), is_number=True),
    Column("out", lambda c: str(c.figures.output_tokens), is_number=True),
    Column("USD", lambda c: cost_text(c.figures), is_number=True),
    Column("user", lambda c: c.user.id),
    Column("input", lambda c: c.input_preview),
)


@click.command()
@since_and_until
@condition_options("user", "agent", "model", "feature")
@click.option("--errors", is_flag=True, help="Only with an error anywhere.")
@limit_option
@output_options
@connects
def sessions(
    client: Client,
    *,
    output: Output,
    conditions: dict[str, str],
    since: datetime | None,
    until: datetime | None,
    errors: bool,
    limit: int,
) -> None:
    """List conversations (sessions), the most recently active first."""
    from spanloom.client.values import to_timestamp
    from spanloom.v1.query_pb2 import ConversationFilter

    chosen = ConversationFilter(
        **conditions,  # type: ignore[arg-type]
        last_activity_time_from=to_timestamp(since),
        last_activity_time_before=to_timestamp(until),
        has_error=errors or None,
    )
    found = client.list_conversations(chosen)
    if not output.rows(found, COLUMNS, "conversation", limit=limit):
        check_project(client)
