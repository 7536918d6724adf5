"""`spanloom keys`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from spanloom import config
from spanloom.commands.connect import connected, connection_options
from spanloom.commands.output import Column, Output, output_options, time_text
from spanloom.commands.times import DURATION, EXPIRY

if TYPE_CHECKING:
    from spanloom.client import Client

# The project of instance keys, on the command line.
_INSTANCE = "*"


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys, through a server or in its database.

    Without --url, --profile or SPANLOOM_URL, the commands work on the database of
    SPANLOOM_DATABASE, else on spanloom.db in this directory.
    """


@keys.command("create")
@click.option("--role", required=True, type=click.Choice(["ingest", "read", "review", "admin"]))
@click.option("--name", default="", metavar="TEXT", help="What the key is for.")
@click.option("--expires", type=EXPIRY, help="The end of its validity: 90d, or a time in ISO 8601.")
@connection_options
def create_key(
    role: str, name: str, expires: datetime | None, project: str | None, **where: str | None
) -> None:
    """Create a key and print it, alone, on standard output. It is not shown again.

    --project is required; '*' makes an instance key. No database is created: it must be that of a
    server, or have been made by `spanloom migrate`.
    """
    if not project:
        raise click.UsageError("Missing option '--project'.")
    from spanloom.client.values import to_timestamp
    from spanloom.v1.access_pb2 import Role
    from spanloom.v1.key_service_pb2 import CreateKeyRequest

    is_instance = project == _INSTANCE
    request = CreateKeyRequest(
        roles=[Role.Value(f"ROLE_{role.upper()}")],
        name=name,
        expire_time=to_timestamp(expires),
        instance_key=is_instance,
    )
    with _client(None if is_instance else project, **where) as client:
        stub = _stub(client)
        click.echo(client.call(stub.CreateKey, request, repeat=False).text)


COLUMNS = (
    Column("key id", lambda key: key.key_id),
    Column("role", lambda key: _roles(key)),
    Column("created (UTC)", lambda key: time_text(key.create_time)),
    Column("state", lambda key: _state(key)),
    Column("project", lambda key: _INSTANCE if key.instance_key else key.project_id),
    Column("last used (UTC)", lambda key: _last_use(key)),
    Column("name", lambda key: key.name),
)


@keys.command("list")
@output_options
@connection_options
def list_keys(output: Output, **where: str | None) -> None:
    """List keys: id, role, when created, state, project, last use, name."""
    from spanloom.v1.key_service_pb2 import ListKeysRequest

    with _client(**where) as client:
        found = client.list_pages(_stub(client).ListKeys, ListKeysRequest(), "keys")
        output.rows(found, COLUMNS, "key")


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=DURATION,
    default="1h",
    show_default=True,
    help="For how long the old key stays valid, such as 30m or 2d.",
)
@connection_options
def rotate_key(key_id: str, overlap: timedelta, **where: str | None) -> None:
    """Replace the key with this ID, and print the new one, alone, on standard output.

    The new key has the project, the role and the name of the old one. It is not shown again.
    """
    from spanloom.model import uuid7
    from spanloom.v1.key_service_pb2 import RotateKeyRequest

    # With a request id, so that a repeat after a lost answer makes no second key.
    request = RotateKeyRequest(key_id=key_id, request_id=uuid7())
    request.overlap.FromTimedelta(overlap)
    with _client(**where) as client:
        made = client.call(_stub(client).RotateKey, request)
    click.echo(made.text)
    click.echo(f"{key_id} is valid until {time_text(made.old_key_expire_time)}", err=True)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@connection_options
def revoke_key(key_id: str, **where: str | None) -> None:
    """Revoke the key with this ID (the first column of `keys list`).

    Servers refuse it within a second.
    """
    from spanloom.v1.key_service_pb2 import RevokeKeyRequest

    with _client(**where) as client:
        client.call(_stub(client).RevokeKey, RevokeKeyRequest(key_id=key_id))
    click.echo(f"revoked {key_id}")


@contextlib.contextmanager
def _client(
    project: str | None = None,
    *,
    url: str | None,
    profile: str | None,
    database: str | None,
    **more: Any,
) -> Iterator[Client]:
    """As of other commands, but without any word of a server the database is opened: the first
    keys are made where there is none yet to call a server with."""
    if not (url or profile or database or os.environ.get("SPANLOOM_URL")):
        database = config.load({}).database
    project = project or os.environ.get("SPANLOOM_PROJECT")
    where: dict[str, Any] = {"url": url, "profile": profile, "database": database, **more}
    with connected(project=project, default_project="", **where) as client:
        yield client


def _stub(client: Client) -> Any:
    from spanloom.v1.key_service_pb2_grpc import KeyServiceStub

    return KeyServiceStub(client.channel)


def _roles(key: Any) -> str:
    from spanloom.v1.access_pb2 import Role

    names = {number: name for name, number in Role.items()}
    words = (names.get(role, str(role)).removeprefix("ROLE_").lower() for role in key.roles)
    return ",".join(words)


def _last_use(key: Any) -> str:
    return time_text(key.last_use_time) if key.HasField("last_use_time") else ""


def _state(key: Any) -> str:
    if key.HasField("revoke_time"):
        return f"revoked {time_text(key.revoke_time)}"
    if not key.HasField("expire_time"):
        return "valid"
    from spanloom.client.values import is_past

    state = "expired" if is_past(key.expire_time) else "valid until"
    return f"{state} {time_text(key.expire_time)}"
