"""`spanloom delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from spanloom.commands.conditions import place_of
from spanloom.commands.connect import connects
from spanloom.commands.output import count
from spanloom.commands.projects import erased

if TYPE_CHECKING:
    from spanloom.client import Client


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--user", metavar="USER", help="Delete all data of this user instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connects
def delete(client: Client, *, ids: tuple[str, ...], user: str | None, yes: bool) -> None:
    """Delete traces for ever: each ID is a trace, or a conversation with all of its traces."""
    if (user is None) == (not ids):
        raise click.UsageError("Give the ids of traces and conversations, or --user.")
    if user is not None:
        _delete_user(client, user, yes)
        return
    from spanloom.v1.query_pb2 import TraceFilter

    traces: dict[str, int] = {}
    for given in ids:
        match place_of(client, given):
            case {"trace_id": trace_id}:
                traces[trace_id] = client.get_trace(trace_id).figures.span_count
            case place:
                for found in client.list_traces(TraceFilter(**place)):  # type: ignore[arg-type]
                    traces[found.trace_id] = found.figures.span_count
    what = f"{count(len(traces), 'trace')} with {count(sum(traces.values()), 'span')}"
    if not yes:
        click.confirm(f"Delete {what} for ever?", abort=True, err=True)
    deleted = sum(client.delete_trace(trace_id, allow_missing=True) for trace_id in traces)
    click.echo(f"deleted {count(len(traces), 'trace')}, {count(deleted, 'span')}")


def _delete_user(client: Client, user: str, yes: bool) -> None:
    from spanloom.v1.project_service_pb2 import DeleteUserDataRequest
    from spanloom.v1.project_service_pb2_grpc import ProjectServiceStub

    if not yes:
        click.confirm(f"Delete all data of the user {user!r} for ever?", abort=True, err=True)
    stub = ProjectServiceStub(client.channel)
    click.echo(
        f"deleted {erased(client, stub.DeleteUserData, DeleteUserDataRequest(user_id=user))}"
    )
