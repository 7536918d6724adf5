"""`spanloom keys`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from spanloom.commands.stores import database_option, with_store


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.option("--project", required=True, help="The project's name, or '*' for an instance key.")
@click.option("--role", required=True, type=click.Choice(["ingest", "read", "review", "admin"]))
@database_option
def create_key(project: str, role: str, database: str | None) -> None:
    """Create a key and print it, alone, on standard output. It is not shown again."""
    from spanloom.model.api_keys import new_key
    from spanloom.model.projects import INSTANCE

    key, text = new_key(project, role)

    async def run(store: Any) -> None:
        if project != INSTANCE:
            await store.ensure_project(project)
        await store.create_key(key)

    with_store(database, run, migrate=True)
    click.echo(text)


@keys.command("list")
@database_option
def list_keys(database: str | None) -> None:
    """List all keys: id, role, when created, valid or revoked, project."""
    found = with_store(database, lambda store: store.list_keys())
    for key in found:
        revoked = f"revoked {_day(key.revoked_ns)}" if key.revoked_ns else "valid"
        click.echo(f"{key.id}  {key.role:<6}  {_day(key.created_ns)}  {revoked}  {key.project}")


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


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
