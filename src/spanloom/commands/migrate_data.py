"""`spanloom migrate-data`: all data of a database in another one."""

from __future__ import annotations

import sys
import time

import click

from spanloom.commands.output import count, progress
from spanloom.commands.stores import without_password


@click.command("migrate-data")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--project", default="", metavar="NAME", help="Only what is of this project.")
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="Compare both databases afterwards, by counts and digests; the status is 1 if they differ",
)
def migrate_data(source: str, target: str, project: str, verifies: bool) -> None:
    """Copy the database FROM, an URL, to the empty database TO, of the same kind or another.

    Everything is copied, with keys and with the cursors of clients. It can be interrupted, and run
    again: then it goes on. Servers of FROM may run meanwhile. When they have stopped, run it once
    more: that copies what has changed, and takes a short time. Only then start servers on TO. A
    server refuses a database that is only partly filled.
    """
    from spanloom.store.sql import copying

    began = time.monotonic()
    with progress("spans") as bar:
        task = bar.add_task("spans", total=None)
        number = copying.copy(
            *(source, target, project),
            lambda more, total: bar.update(task, advance=more, total=total),
        )
    seconds = time.monotonic() - began
    click.echo(f"{without_password(target)} has {count(number, 'span')}; {seconds:.1f} s")
    if not verifies:
        return
    with progress("spans compared") as bar:
        task = bar.add_task("spans", total=None)
        found = copying.verify(
            *(source, target, project),
            lambda more, total: bar.update(task, advance=more, total=total),
        )
    for line in found:
        click.echo(line)
    if found:
        sys.exit(1)
    click.echo("verified: both databases are equal")
