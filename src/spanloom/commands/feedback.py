"""`spanloom feedback`: lists, adds and deletes reviews."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import place_of
from spanloom.commands.connect import check_project, connects
from spanloom.commands.output import Column, Output, limit_option, output_options, time_text
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

COLUMNS = (
    Column("review id", lambda r: r.review_id),
    Column("created (UTC)", lambda r: time_text(r.create_time)),
    Column("about", lambda r: r.target.span_id or r.target.trace_id or r.target.conversation_id),
    Column("name", lambda r: r.name),
    Column("score", lambda r: f"{r.score:g}" if r.HasField("score") else "", is_number=True),
    Column("label", lambda r: r.label),
    Column("author", lambda r: r.author),
    Column("comment", lambda r: r.comment),
)


@click.group()
def feedback() -> None:
    """List, add and delete feedback (reviews)."""


@feedback.command("list")
@click.option("--about", metavar="ID", help="Only about this trace or conversation.")
@click.option("--name", default="", metavar="TEXT", help="Only with this name.")
@click.option("--author", default="", metavar="TEXT", help="Only by this author.")
@since_and_until
@limit_option
@output_options
@connects
def list_feedback(
    client: Client,
    *,
    output: Output,
    about: str | None,
    name: str,
    author: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List feedback, latest first."""
    place: dict[str, Any] = place_of(client, about) if about else {}
    if trace_id := place.pop("trace_id", None):
        place["trace_ids"] = [trace_id]
    found = client.list_reviews(name=name, author=author, since=since, before=until, **place)
    if not output.rows(found, COLUMNS, "review", limit=limit):
        check_project(client)


@feedback.command("add")
@click.argument("target", metavar="ID")
@click.option("--span", default="", metavar="ID", help="About this span of the trace.")
@click.option("--name", required=True, metavar="TEXT", help="What is judged, such as correctness.")
@click.option("--score", type=float, metavar="NUMBER")
@click.option("--label", default="", metavar="TEXT")
@click.option("--comment", default="", metavar="TEXT")
@click.option("--author", default="", metavar="TEXT")
@connects
def add_feedback(
    client: Client, *, target: str, span: str, score: float | None, **texts: str
) -> None:
    """Judge a trace, a conversation or a span. Prints the id of the feedback."""
    from spanloom.v1.review_pb2 import Review, ReviewTarget

    about = {"trace_id": target, "span_id": span} if span else place_of(client, target)
    judged: dict[str, Any] = {**texts, "score": score}
    review = Review(target=ReviewTarget(**about), **judged)
    click.echo(client.write_review(review).review_id)


@feedback.command("delete")
@click.argument("review_id", metavar="ID")
@connects
def delete_feedback(client: Client, *, review_id: str) -> None:
    """Delete feedback for ever."""
    client.delete_review(review_id)
    click.echo(f"deleted {review_id}")
