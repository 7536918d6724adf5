"""`spanloom migrate`, `sql` and `rederive`: the care of a database."""

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
            for after, _ in found:
                await prices.use(after)
        number = 0
        with progress("spans") as bar:
            task = bar.add_task("spans", total=None)
            async for written in store.rederive(reread, which):
                number += written
                bar.advance(task, written)
        return number

    click.echo(count(with_store(database, run), "span"))


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
