"""`spanloom migrate`, `maintain`, `sql` and `rederive`: the care of a database."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from spanloom import config
from spanloom.commands.output import count, progress
from spanloom.commands.stores import database_option, with_store, without_password
from spanloom.commands.times import since_and_until


@click.command()
@database_option
def migrate(database: str | None) -> None:
    """Upgrade the database's schema to this version. `serve` does this at its start, too."""

    async def nothing_more(store: Any) -> None:
        pass

    with_store(database, nothing_more, migrate=True)
    click.echo(f"{without_password(config.load({'database': database}).database)} is up to date")


@click.command("rederive")
@since_and_until
@click.option(
    "--all", "also_current", is_flag=True, help="Also spans that this version has read: prices."
)
@database_option
def rederive(
    since: datetime | None, until: datetime | None, also_current: bool, database: str | None
) -> None:
    """Derive the columns of stored spans anew from what was sent.

    Run it after an upgrade: lists, charts, totals and costs then show old spans as this version
    reads them. It can be interrupted, started again, and run while a server runs.
    """
    from spanloom.adapters.restore import reread
    from spanloom.genai.own_prices import EVERY_PROJECT, set_prices
    from spanloom.services.price_file import read_prices
    from spanloom.services.prices import ProjectPrices
    from spanloom.store.sql.rederive import Range

    which = Range(_nanoseconds(since), _nanoseconds(until), also_current)
    set_prices(EVERY_PROJECT, read_prices(config.load({}).prices))

    async def run(store: Any) -> int:
        prices = ProjectPrices(store)
        after = ""
        while found := await store.list_projects(after=after, limit=1_000):
            for after, *_ in found:
                await prices.use(after)
        number = 0
        with progress("spans") as bar:
            task = bar.add_task("spans", total=None)
            async for written in store.rederive(reread, which):
                number += written
                bar.advance(task, written)
        return number

    click.echo(count(with_store(database, run), "span"))


@click.command("maintain")
@database_option
@click.option(
    "--retention",
    "retention_days",
    type=click.IntRange(0),
    metavar="DAYS",
    help="As of serve [default: SPANLOOM_RETENTION_DAYS, else 0].",
)
@click.option(
    "--full",
    is_flag=True,
    help="PostgreSQL: write all tables anew, so that no deleted byte is left in their files. Reads"
    " and writes wait meanwhile.",
)
def maintain(database: str | None, retention_days: int | None, full: bool) -> None:
    """Delete traces that are too old, and take the bytes of all that was deleted from the disk.

    Servers may run meanwhile. On SQLite their writes wait while the file is written anew, which
    takes about 10 seconds per gigabyte.
    """
    settings = config.load({"database": database, "retention_days": retention_days})

    async def run(store: Any) -> Any:
        return await store.maintain(retention_days=settings.retention_days, full=full)

    done = with_store(settings.database, run)
    counts = done.counts
    click.echo(
        f"deleted {count(counts.get('traces', 0), 'trace')}, "
        f"{count(counts.get('spans', 0), 'span')}; indexed {count(done.entries, 'span')} anew; "
        f"{done.bytes_before:,} bytes before, {done.bytes_after:,} after; {done.seconds:.1f} s"
    )
    if not done.is_erased:
        click.echo(f"spanloom: {_NOT_ERASED}", err=True)


_NOT_ERASED = (
    "deleted bytes may be left in the files: on SQLite a reader used an old state, run it again;"
    " on PostgreSQL use --full"
)


@click.command("sql")
@click.argument("statement")
@click.option("--format", type=click.Choice(["table", "csv", "jsonl"]), default="table")
@database_option
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


def _nanoseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp()) * 10**9
