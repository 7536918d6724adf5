"""`spanloom backup` and `spanloom restore`: copies of an SQLite database."""

from __future__ import annotations

import time
from pathlib import Path

import click

from spanloom import config
from spanloom.commands.stores import database_option, without_password

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_FILE
@database_option
@click.option("--force", is_flag=True, help="Replace an existing FILE.")
def backup(file: Path, database: str | None, force: bool) -> None:
    """Copy the SQLite database to FILE, checked, while servers run.

    The copy has everything that was acknowledged before, and nothing that was deleted before.
    """
    from spanloom.store.sql import backup as copies

    url = config.load({"database": database}).database
    began = time.monotonic()
    size = copies.backup(url, file, force=force)
    click.echo(f"{size:,} bytes in {time.monotonic() - began:.1f} s")


@click.command()
@_FILE
@database_option
@click.option("--force", is_flag=True, help="Replace an existing database.")
def restore(file: Path, database: str | None, force: bool) -> None:
    """Put the copy FILE in the place of the SQLite database. No server may run on it."""
    from spanloom.store.sql import backup as copies

    url = config.load({"database": database}).database
    size = copies.restore(url, file, force=force)
    click.echo(f"{without_password(url)}: {size:,} bytes restored")
