"""`spanloom projects`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from spanloom.commands.connect import connects
from spanloom.commands.output import Column, Output, output_options, time_text

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("project", lambda p: p.project_id),
    Column("created (UTC)", lambda p: time_text(p.create_time)),
)


@click.command()
@output_options
@connects
def projects(client: Client, *, output: Output) -> None:
    """List the projects that the key may read."""
    output.rows(client.list_projects(), COLUMNS, "project")
