"""`spanloom demo`."""

from __future__ import annotations

from typing import Any

import click

from spanloom.commands.stores import database_option, with_store


@click.command("demo")
@click.option("--project", default="demo", show_default=True)
@database_option
def demo(project: str, database: str | None) -> None:
    """Fill a project with an invented week of three agents, to look at. It ends now."""
    from spanloom.operations.demo import fill

    async def run(store: Any) -> int:
        numbers = [number async for number in fill(store, project)]
        return numbers[-1]

    number = with_store(database, run, migrate=True)
    click.echo(f"{number} traces in the project {project}, of the last seven days")
