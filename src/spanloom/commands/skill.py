"""`spanloom skill`."""

from __future__ import annotations

from importlib import resources

import click


@click.command()
def skill() -> None:
    """Print SKILL.md, which tells a coding agent how to use these commands."""
    text = resources.files("spanloom").joinpath("SKILL.md").read_text(encoding="utf-8")
    click.echo(text, nl=False)
