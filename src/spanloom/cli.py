"""The command line: `spanloom serve`, `keys`, `migrate`, `chat`, `sql`,
`rederive`, `export`, `import`, `demo`.

Every option is also a setting `SPANLOOM_<NAME>`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from spanloom import config
from spanloom.errors import SetupError, SpanloomError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# Heavy imports are inside the commands: `spanloom keys` must not load gRPC.


def _database_option(command: F) -> F:
    return click.option(
        "--database",
        metavar="URL",
        help="sqlite:///FILE or postgresql+psycopg://... [default: sqlite:///spanloom.db]",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanloom", prog_name="spanloom")
def cli() -> None:
    """Store and read what GenAI applications do: traces, events, sessions, agent chats."""


@cli.command()
@click.option("--grpc-address", metavar="HOST:PORT", help="[default: 127.0.0.1:4317]")
@click.option("--http-address", metavar="HOST:PORT", help="[default: 127.0.0.1:4318]")
@_database_option
@click.option(
    "--control-database",
    metavar="URL",
    help="The database of keys, projects and the like [default: that of --database].",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="The number of worker processes. [default: the number of cores]",
)
@click.option(
    "--no-auth",
    is_flag=True,
    default=None,
    help="Accept calls without an API key. Requires loopback addresses.",
)
@click.option("--log-format", type=click.Choice(["console", "json"]), help="[default: console]")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="[default: info]",
)
@click.option(
    "--cors-origins",
    metavar="LIST",
    help='Origins that may call the REST API from a browser, separated by commas, or "*" for all.',
)
def serve(**given: Any) -> None:
    """Run the server until SIGINT or SIGTERM."""
    settings = config.load(given)
    from spanloom import app, logs

    logs.configure_logging(settings)

    def started(server: app.Started) -> None:
        click.echo(f"spanloom listens: gRPC {server.grpc_address}, HTTP {server.http_address}")
        click.echo(f"database: {_without_password(settings.database)}")
        click.echo(f"web page: {_page(server)}")
        if settings.no_auth:
            click.echo(
                "authentication is off (--no-auth): every process on this machine has full access"
            )
            click.echo(_TRY.format(http=server.http_address, key=""))
        if server.first_key:
            header = f" -H 'Authorization: Bearer {server.first_key}'"
            click.echo(f"first key (instance, admin), shown this once: {server.first_key}")
            click.echo(_TRY.format(http=server.http_address, key=header))
        sys.stdout.flush()

    if not app.serve(settings, started):
        sys.exit(1)


def _page(server: Any) -> str:
    """The page's address; with a link token, what signs a person in once, within ten minutes."""
    from spanloom.server.ui.files import is_built

    if not is_built():
        return "not built; `make ui` builds it"
    signed_in = f"login#{server.link_token}" if server.link_token else ""
    return f"http://{server.http_address}/ui/{signed_in}"


_TRY = """\
try it:
  curl http://{http}/monitor/trace{key} \\
    -H 'Content-Type: application/json' \\
    -d '{{"featureSlug": "qa-chatbot", "input": "Hi", "output": "Hello"}}'"""


@cli.command()
@_database_option
def migrate(database: str | None) -> None:
    """Upgrade the database's schema to this version. `serve` does this at its start, too."""

    async def nothing_more(store: Any) -> None:
        pass

    _with_store(database, nothing_more, migrate=True)
    click.echo(f"{_without_password(config.load({'database': database}).database)} is up to date")


@cli.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.option("--project", required=True, help="The project's name, or '*' for an instance key.")
@click.option("--role", required=True, type=click.Choice(["ingest", "read", "review", "admin"]))
@_database_option
def create_key(project: str, role: str, database: str | None) -> None:
    """Create a key and print it, alone, on standard output. It is not shown again."""
    from spanloom.model.api_keys import new_key
    from spanloom.model.projects import INSTANCE

    key, text = new_key(project, role)

    async def run(store: Any) -> None:
        if project != INSTANCE:
            await store.ensure_project(project)
        await store.create_key(key)

    _with_store(database, run, migrate=True)
    click.echo(text)


@keys.command("list")
@_database_option
def list_keys(database: str | None) -> None:
    """List all keys: id, role, when created, valid or revoked, project."""
    found = _with_store(database, lambda store: store.list_keys())
    for key in found:
        revoked = f"revoked {_day(key.revoked_ns)}" if key.revoked_ns else "valid"
        click.echo(f"{key.id}  {key.role:<6}  {_day(key.created_ns)}  {revoked}  {key.project}")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_database_option
def revoke_key(key_id: str, database: str | None) -> None:
    """Revoke the key with this ID (the first column of `keys list`).

    Servers refuse it within a second.
    """
    if not _with_store(database, lambda store: store.revoke_key(key_id, time.time_ns())):
        raise click.ClickException(f"no key has the id {key_id!r}")
    click.echo(f"revoked {key_id}")


@cli.command()
@click.argument("trace_id")
@click.option("--project", default="default", show_default=True)
@click.option(
    "--model-tool-calls",
    is_flag=True,
    help="Also show tool calls that occur only in a model's output.",
)
@_database_option
def chat(trace_id: str, project: str, model_tool_calls: bool, database: str | None) -> None:
    """Print a trace or session as a chat: messages, tool calls, handoffs."""
    from rich.console import Console

    from spanloom.chat.view import trace_chat
    from spanloom.terminal import draw

    spans = _with_store(database, lambda store: store.trace_spans(project, trace_id))
    if not spans:
        raise click.ClickException(f"no trace {trace_id!r} in project {project!r}")
    turn = trace_chat(trace_id, spans, include_model_tool_calls=model_tool_calls)
    Console().print(draw(turn))


@cli.command("rederive")
@click.option("--since", metavar="TIME", help="Only spans that start from this time on.")
@click.option("--until", metavar="TIME", help="Only spans that start before this time.")
@click.option(
    "--all", "also_current", is_flag=True, help="Also spans that this version has read: prices."
)
@_database_option
def rederive(
    since: str | None, until: str | None, also_current: bool, database: str | None
) -> None:
    """Derive the columns of stored spans anew from what was sent.

    Run it after an upgrade: lists, charts, totals and costs then show old spans as this version
    reads them. It can be interrupted, started again, and run while a server runs. Times are in ISO
    8601.
    """
    from spanloom.adapters.restore import reread
    from spanloom.store.sql.rederive import Range

    which = Range(_time_option("--since", since), _time_option("--until", until), also_current)

    async def run(store: Any) -> int:
        number = 0
        with _progress("spans") as bar:
            task = bar.add_task("spans", total=None)
            async for written in store.rederive(reread, which):
                number += written
                bar.advance(task, written)
        return number

    click.echo(f"{_with_store(database, run)} spans")


@cli.command("demo")
@click.option("--project", default="demo", show_default=True)
@_database_option
def demo(project: str, database: str | None) -> None:
    """Fill a project with an invented week of three agents, to look at. It ends now."""
    from spanloom.operations.demo import fill

    async def run(store: Any) -> int:
        numbers = [number async for number in fill(store, project)]
        return numbers[-1]

    number = _with_store(database, run, migrate=True)
    click.echo(f"{number} traces in the project {project}, of the last seven days")


@cli.command("sql")
@click.argument("statement")
@click.option("--format", type=click.Choice(["table", "csv", "jsonl"]), default="table")
@_database_option
def sql(statement: str, format: str, database: str | None) -> None:
    """Print what a SQL STATEMENT reads; "-" reads it from standard input.

    The view v_spans has a row for each span. On SQLite, v_messages has a row for each message that
    was sent to a model or received from it, and span_json(version) gives a span's JSON. The
    statement cannot change the database.
    """
    from spanloom import terminal
    from spanloom.adapters.restore import restore
    from spanloom.store.sql.by_hand import results

    if statement == "-":
        statement = sys.stdin.read()
    settings = config.load({"database": database})
    with results(settings.database, statement, restore) as (names, rows):
        terminal.WRITERS[format](names, rows)


def _format_option(command: F) -> F:
    return click.option(
        "--format",
        type=click.Choice(["jsonl", "parquet"]),
        help="[default: parquet for a file named *.parquet, else jsonl]",
    )(command)


def _format_of(file: Any, given: str | None) -> str:
    return given or ("parquet" if str(getattr(file, "name", "")).endswith(".parquet") else "jsonl")


@cli.command("export")
@click.argument("file", type=click.File("wb"), default="-")
@_format_option
@click.option("--project", default="default", show_default=True)
@click.option("--session", metavar="ID", help="Only the events of this session.")
@click.option("--type", "kind", metavar="TYPE", help="Only model, tool, chain or session events.")
@click.option("--since", metavar="TIME", help="Only events from this time on, as ISO 8601.")
@click.option("--until", metavar="TIME", help="Only events up to this time.")
@_database_option
def export_events(
    file: Any,
    format: str | None,
    project: str,
    session: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
    database: str | None,
) -> None:
    """Write events to FILE (default: standard output), newest first, as JSON lines or Parquet."""
    from spanloom.operations.transfer import Transfer, writing

    equal = {"session_id": session, "event_type": kind}
    filters = [{"field": f, "operator": "is", "value": v} for f, v in equal.items() if v]
    asked = {"filters": filters, "dateRange": {"$gte": since, "$lte": until}}

    async def run(store: Any) -> None:
        transfer = Transfer(store, project)
        with _progress() as bar:
            task = bar.add_task("events", total=await transfer.count(asked))
            with writing(file, _format_of(file, format)) as write:
                async for line in transfer.export(asked):
                    write(line)
                    bar.advance(task)

    try:
        _with_store(database, run)
    except SpanloomError as error:
        options = {"dateRange.$gte": "--since", "dateRange.$lte": "--until"}
        for bad in error.violations:
            if bad.field in options:
                raise click.BadParameter(bad.description, param_hint=options[bad.field]) from None
        raise


@cli.command("import")
@click.argument("file", type=click.File("rb"))
@_format_option
@click.option("--project", default="default", show_default=True)
@_database_option
def import_events(file: Any, format: str | None, project: str, database: str | None) -> None:
    """Store the events of FILE, which `export` wrote ("-" for standard input).

    Importing the same file again changes nothing.
    """
    from spanloom.operations.transfer import FORMATS, Transfer, reading

    as_format = _format_of(file, format)

    async def run(store: Any) -> None:
        with _progress() as bar:
            task = bar.add_task("events", total=None)
            lines = reading(file, as_format)
            async for number in Transfer(store, project).load(lines, noun=FORMATS[as_format]):
                bar.advance(task, number)

    _with_store(database, run, migrate=True)


def _time_option(name: str, value: str | None) -> int | None:
    """An ISO 8601 time in nanoseconds."""
    if value is None:
        return None
    try:
        time_of = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an ISO 8601 time", param_hint=name) from None
    return int((time_of if time_of.tzinfo else time_of.replace(tzinfo=UTC)).timestamp()) * 10**9


def _progress(noun: str = "events") -> Any:
    """A progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), noun, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _with_store(
    database: str | None, use: Callable[[Any], Coroutine[Any, Any, T]], *, migrate: bool = False
) -> T:
    """Use the store.

    Without `migrate` no database is created or upgraded: reading a mistyped file must not
    create it.
    """
    from spanloom.adapters.restore import restore
    from spanloom.store.store import Store

    settings = config.load({"database": database})

    async def run() -> T:
        store = await Store.open(
            settings.database,
            control_url=settings.control_database,
            restore=restore,
            migrate=migrate,
        )
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")


def _without_password(url: str) -> str:
    """The URL as it may be printed."""
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    if not at:
        return url
    return f"{scheme}{separator}{login.partition(':')[0]}:***@{host}"


def main() -> None:
    """The entry point. Known errors become one line on standard error and exit status 1."""
    try:
        cli()
    except (SetupError, SpanloomError) as error:
        click.echo(f"spanloom: {error}{_cause(error)}", err=True)
        sys.exit(1)


def _cause(error: Exception) -> str:
    """The database's own text, if the error comes from there: whoever runs the program may know."""
    if error.__cause__ is None:
        return ""
    # SQLAlchemy wraps the driver's.
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return f": {' '.join(str(cause).split())}"
