"""Which server or database a command uses."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from spanloom import config
from spanloom.commands.profiles import Profile, near
from spanloom.commands.profiles import profile as profile_of

if TYPE_CHECKING:
    from spanloom.client import Client

Command = Callable[..., Any]

_OPTIONS = (
    click.option(
        "--url",
        metavar="URL",
        help="The server's gRPC address [default: SPANLOOM_URL, else http://127.0.0.1:4317].",
    ),
    click.option("--key", metavar="KEY", help="The key [default: SPANLOOM_KEY]."),
    click.option(
        "--project",
        metavar="NAME",
        help="The project [default: SPANLOOM_PROJECT, else that of the key].",
    ),
    click.option("--profile", metavar="NAME", help="A profile of the configuration file."),
    click.option(
        "--ca",
        metavar="FILE",
        help="Authorities in PEM for an https:// URL [default: SPANLOOM_CA, else well-known ones].",
    ),
    click.option(
        "--client-certificate",
        metavar="FILE",
        help="A certificate in PEM, if the server asks for one"
        " [default: SPANLOOM_CLIENT_CERTIFICATE].",
    ),
    click.option(
        "--client-key",
        metavar="FILE",
        help="The private key of this certificate [default: SPANLOOM_CLIENT_KEY].",
    ),
    click.option(
        "--database",
        metavar="URL",
        help="Use this database and no server [default: SPANLOOM_DATABASE, if there is no URL].",
    ),
)


def connects(command: Command, *, create: bool = False) -> Command:
    """A decorator: the options that choose a server, and the client as the first argument.

    Args:
        create: Whether the command creates a database that does not exist.
    """

    @functools.wraps(command)
    def run(
        *,
        url: str | None,
        key: str | None,
        project: str | None,
        profile: str | None,
        database: str | None,
        ca: str | None,
        client_certificate: str | None,
        client_key: str | None,
        **given: Any,
    ) -> None:
        project = project or os.environ.get("SPANLOOM_PROJECT")
        files = (ca, client_certificate, client_key)
        with connected(url, key, project, profile, database, *files, create=create) as client:
            command(client, **given)

    return connection_options(run)


def connection_options(command: Command) -> Command:
    """The options that choose a server or a database."""
    made: Any = command
    for option in reversed(_OPTIONS):
        made = option(made)
    decorated: Command = made
    return decorated


def connects_and_creates(command: Command) -> Command:
    """As `connects`, for a command that creates a database that does not exist."""
    return connects(command, create=True)


@contextlib.contextmanager
def connected(
    url: str | None,
    key: str | None,
    project: str | None,
    profile: str | None,
    database: str | None,
    ca: str | None = None,
    client_certificate: str | None = None,
    client_key: str | None = None,
    *,
    create: bool = False,
    default_project: str | None = None,
) -> Iterator[Client]:
    """A client by the options of a command, else by the environment, else by the profile.

    Args:
        default_project: That of calls without a server, "" for all; by default `default`.

    The key and the certificate of a profile are for the server of this profile only.
    """
    if database and (url or profile):
        raise click.UsageError(
            "--database is for work without a server: give no --url or --profile"
        )
    given = url or (None if profile else os.environ.get("SPANLOOM_URL"))
    offline = database or (None if given or profile else os.environ.get("SPANLOOM_DATABASE"))
    from spanloom.client.blocking import Client
    from spanloom.client.connection import has_tls, tls

    if offline:
        from spanloom.model.projects import DEFAULT_PROJECT
        from spanloom.operations.local import LocalChannel

        default = DEFAULT_PROJECT if default_project is None else default_project
        settings = config.load({"database": offline})
        with LocalChannel(settings, project=project or default, create=create) as channel:
            local: Any = channel
            with Client(channel=local, key="", project=project) as client:
                yield client
        return
    chosen = profile_of(profile)
    if given and given != chosen.url:
        chosen = Profile()
    environ = os.environ.get
    files = {
        "ca": ca or environ("SPANLOOM_CA") or chosen.ca,
        "certificate": client_certificate
        or environ("SPANLOOM_CLIENT_CERTIFICATE")
        or chosen.client_certificate,
        "key": client_key or environ("SPANLOOM_CLIENT_KEY") or chosen.client_key,
    }
    address = given or chosen.url
    try:
        client = Client(
            address or None,
            key=key or environ("SPANLOOM_KEY") or chosen.key or None,
            project=project or chosen.project or None,
            credentials=tls(**files) if has_tls(address) else None,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with client:
        yield client


def check_project(client: Client) -> None:
    """Ends the command if it names a project that does not exist. For those that found nothing."""
    from spanloom.client import CallError

    if not client.project:
        return
    try:
        names = [found.project_id for found in client.list_projects()]
    except CallError:
        return  # the key may not read
    if client.project not in names:
        raise click.ClickException(
            f"there is no project {client.project!r}{near(client.project, names)}"
        )
