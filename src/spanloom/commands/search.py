"""`spanloom search`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import condition_options, enum_value, place_of
from spanloom.commands.connect import check_project, connects
from spanloom.commands.output import Column, Output, limit_option, output_options, time_text
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("start (UTC)", lambda m: time_text(m.start_time)),
    Column("trace id", lambda m: m.trace_id),
    Column("role", lambda m: _role(m)),
    Column("agent", lambda m: m.agent.name),
    Column("text", lambda m: m.preview),
)


def _role(match: Any) -> str:
    from spanloom.v1.chat_pb2 import MessageRole

    names = {number: name for name, number in MessageRole.items()}
    name = names.get(match.role, str(match.role))
    return name.removeprefix("MESSAGE_ROLE_").lower().replace("_", " ")


@click.command()
@click.argument("text")
@click.option("--in", "within", metavar="ID", help="Only in this trace or conversation.")
@click.option("--role", "roles", multiple=True, metavar="WORD", help="user, assistant, system, ...")
@click.option("--match-case", is_flag=True, help="Distinguish upper and lower case.")
@condition_options("agent", "provider", "model")
@since_and_until
@limit_option
@output_options
@connects
def search(
    client: Client,
    *,
    output: Output,
    text: str,
    within: str | None,
    roles: tuple[str, ...],
    match_case: bool,
    conditions: dict[str, Any],
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List the messages that contain TEXT, latest first."""
    from spanloom.v1.chat_pb2 import MessageRole

    chosen: dict[str, Any] = {
        **conditions,
        **(place_of(client, within) if within else {}),
        "roles": [enum_value(MessageRole, "MESSAGE_ROLE_", role, "role") for role in roles],
    }
    found = client.search_messages(text, match_case=match_case, since=since, before=until, **chosen)
    if not output.rows(found, COLUMNS, "message", limit=limit):
        check_project(client)
