"""`spanloom keys`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.output import Column, Output, output_options
from spanloom.commands.stores import database_option, with_store
from spanloom.commands.times import EXPIRY

if TYPE_CHECKING:
    from spanloom.model import Key


@click.group()
def keys() -> None:
    """Create, list and revoke API keys, in the database of a server."""


@keys.command("create")
@click.option("--project", required=True, help="The project's name, or '*' for an instance key.")
@click.option("--role", required=True, type=click.Choice(["ingest", "read", "review", "admin"]))
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@click.option("--expires", type=EXPIRY, help="The end of its validity: 90d, or a time in ISO 8601.")
@database_option
def create_key(
    project: str, role: str, name: str, expires: datetime | None, database: str | None
) -> None:
    """Create a key and print it, alone, on standard output. It is not shown again.

    The database must be that of a server, or have been made by `spanloom migrate`.
    """
    from spanloom.model.api_keys import new_key
    from spanloom.model.projects import INSTANCE

    expires_ns = None if expires is None else int(expires.timestamp()) * 10**9
    key, text = new_key(project, role, name=name, expires_ns=expires_ns)

    async def run(store: Any) -> None:
        if project != INSTANCE:
            await store.ensure_project(project)
        await store.create_key(key)

    with_store(database, run)
    click.echo(text)


COLUMNS = (
    Column("key id", lambda key: key.id),
    Column("role", lambda key: key.role),
    Column("created (UTC)", lambda key: _minute(key.created_ns)),
    Column("state", lambda key: _state(key)),
    Column("project", lambda key: key.project),
    Column("name", lambda key: key.name),
)


@keys.command("list")
@output_options
@database_option
def list_keys(output: Output, database: str | None) -> None:
    """List all keys: id, role, when created, state, project, name."""
    output.rows(with_store(database, lambda store: store.list_keys()), COLUMNS, "key")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@database_option
def revoke_key(key_id: str, database: str | None) -> None:
    """Revoke the key with this ID (the first column of `keys list`).

    Servers refuse it within a second.
    """
    if not with_store(database, lambda store: store.revoke_key(key_id, time.time_ns())):
        raise click.ClickException(f"no key has the id {key_id!r}")
    click.echo(f"revoked {key_id}")


def _state(key: Key) -> str:
    from spanloom.model.api_keys import is_expired

    if key.revoked_ns is not None:
        return f"revoked {_minute(key.revoked_ns)}"
    if key.expires_ns is None:
        return "valid"
    return f"{'expired' if is_expired(key) else 'valid until'} {_minute(key.expires_ns)}"


def _minute(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
