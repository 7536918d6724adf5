"""`spanloom export` and `spanloom import`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import attribute_option, condition_options, span_filter
from spanloom.commands.connect import check_project, connects, connects_and_creates
from spanloom.commands.output import count, one_line, progress
from spanloom.commands.times import since_and_until

if TYPE_CHECKING:
    from spanloom.client import Client

_KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "PHOENIX_API_KEY")
_BATCH_SPANS = 500
_BATCH_BYTES = 8 << 20


def _file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--shape",
        type=click.Choice(["spans", "events"]),
        default="spans",
        show_default=True,
        help="Spans are whole; events are in the shape of HoneyHive's API.",
    )(command)
    return click.option(
        "--format",
        type=click.Choice(["jsonl", "parquet"]),
        help="[default: parquet for a file named *.parquet, else jsonl]",
    )(command)


def _format_of(file: Any, given: str | None) -> str:
    return given or ("parquet" if str(getattr(file, "name", "")).endswith(".parquet") else "jsonl")


@click.command("export")
@click.argument("file", type=click.File("wb"), default="-")
@_file_options
@click.option("--trace", default="", metavar="ID", help="Only spans of this trace.")
@click.option("--kind", "kinds", multiple=True, metavar="WORD", help="model, tool, agent, ...")
@click.option("--status", metavar="WORD", help="Only with this status: ok, error.")
@condition_options("session", "name", "user", "feature", "agent", "model", "environment")
@attribute_option
@since_and_until
@connects
def export_spans(
    client: Client,
    *,
    file: Any,
    format: str | None,
    shape: str,
    trace: str,
    conditions: dict[str, str],
    **more: Any,
) -> None:
    """Write spans to FILE (default: standard output), latest first, as JSON lines or Parquet."""
    if shape == "events":
        number = _export_events(client, file, _format_of(file, format), conditions, more)
    else:
        number = _export_spans(client, file, _format_of(file, format), trace, conditions, more)
    click.echo(f"exported {count(number, shape.removesuffix('s'))}", err=True)
    if not number:
        check_project(client)


def _export_spans(
    client: Client,
    file: Any,
    format: str,
    trace: str,
    conditions: dict[str, str],
    more: dict[str, Any],
) -> int:
    from spanloom.operations.span_files import span_writer, whole_span

    found = client.list_spans(span_filter(conditions, **more), trace_id=trace)
    number = 0
    with progress("spans") as bar, span_writer(file, format) as write:
        task = bar.add_task("spans", total=None)
        for span in found:
            write(whole_span(client, span))
            number += 1
            bar.advance(task)
    return number


def _export_events(
    client: Client, file: Any, format: str, conditions: dict[str, str], more: dict[str, Any]
) -> int:
    from spanloom.operations.transfer import export_events, writing

    kinds: tuple[str, ...] = more["kinds"]
    unknown = conditions.keys() - {"conversation_id"} or more["attributes"] or more["status"]
    if unknown or len(kinds) > 1 or set(kinds) - {"model", "tool", "chain", "session"}:
        raise click.ClickException(
            "events are chosen by --session, --since, --until, and --kind model, tool, chain or"
            " session"
        )
    equal = {"session_id": conditions.get("conversation_id"), "event_type": "".join(kinds)}
    times = {"$gte": _iso(more["since"]), "$lte": _iso(more["until"])}
    asked = {
        "filters": [{"field": f, "operator": "is", "value": v} for f, v in equal.items() if v],
        "dateRange": {name: value for name, value in times.items() if value},
    }
    number = 0
    with progress("events") as bar, writing(file, format) as write:
        task = bar.add_task("events", total=None)
        for line in export_events(client, asked):
            write(line)
            number += 1
            bar.advance(task)
    return number


@click.command("import")
@click.argument("source", metavar="FILE|URL")
@click.option(
    "--from",
    "product",
    type=click.Choice(["langfuse", "phoenix"]),
    help="FILE is an export of this product, or URL its API.",
)
@_file_options
@connects_and_creates
def import_spans(
    client: Client, *, source: str, product: str | None, format: str | None, shape: str
) -> None:
    """Store the spans of FILE, which `export` wrote ("-" for standard input).

    With --from, FILE was written by another product: JSON lines, JSON or Parquet. A URL is read
    page by page, with the key in LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or PHOENIX_API_KEY.

    Importing the same file again changes nothing.
    """
    if product and source.startswith(("http://", "https://")):
        _import_records(client, product, _pages(product, source))
        return
    file: Any = click.File("rb").convert(source, None, click.get_current_context())
    if product:
        from spanloom.operations.imports.records import records_of

        _import_records(client, product, records_of(file))
        return
    if shape == "events":
        number, rejected = _import_events(client, file, _format_of(file, format)), 0
    else:
        number, rejected = _import_spans(client, file, _format_of(file, format))
    click.echo(f"imported {count(number, shape.removesuffix('s'))}", err=True)
    if rejected:
        raise click.ClickException(f"{count(rejected, 'span')} could not be stored")


def _pages(product: str, url: str) -> Iterator[Any]:
    from spanloom.operations.imports.pages import langfuse_pages, phoenix_pages

    key = {name: os.environ.get(name, "") for name in _KEYS}
    if product == "langfuse":
        return langfuse_pages(url, key["LANGFUSE_PUBLIC_KEY"], key["LANGFUSE_SECRET_KEY"])
    return phoenix_pages(url, key["PHOENIX_API_KEY"])


def _import_records(client: Client, product: str, records: Iterator[Any]) -> None:
    from spanloom.operations.imports.store import MAKERS, Import

    def report(place: str, why: str) -> None:
        click.echo(f"spanloom: {place}: {one_line(why)}", err=True)

    with progress("records") as bar:
        task = bar.add_task("records", total=None)
        run = Import(client, report, lambda number: bar.advance(task, number))
        run.run(records, MAKERS[product])
    reviews = f" and {count(run.reviews, 'review')}" if run.reviews else ""
    click.echo(f"imported {count(run.spans, 'span')}{reviews}", err=True)
    if run.rejected:
        raise click.ClickException(f"{count(run.rejected, 'record')} could not be stored")


def _import_spans(client: Client, file: Any, format: str) -> tuple[int, int]:
    from spanloom.operations.span_files import spans_of, to_import

    stored = rejected = 0
    with progress("spans") as bar:
        task = bar.add_task("spans", total=None)
        for places, spans in _batches(spans_of(file, format)):
            response = client.import_spans([to_import(span) for span in spans])
            stored += response.stored_count
            rejected += response.rejected_count
            for one in response.rejections:
                place = places[one.position - 1]
                click.echo(f"spanloom: {place}: {one.message}", err=True)
            bar.advance(task, len(spans))
    return stored, rejected


def _batches(items: Iterator[tuple[str, Any]]) -> Iterator[tuple[list[str], list[Any]]]:
    """The places and the spans of one request after another."""
    places: list[str] = []
    spans: list[Any] = []
    size = 0
    for place, span in items:
        bytes_of_it = span.ByteSize()
        if spans and (len(spans) == _BATCH_SPANS or size + bytes_of_it > _BATCH_BYTES):
            yield places, spans
            places, spans, size = [], [], 0
        places.append(place)
        spans.append(span)
        size += bytes_of_it
    if spans:
        yield places, spans


def _import_events(client: Client, file: Any, format: str) -> int:
    from spanloom.operations.transfer import FORMATS, load_events, reading

    number = 0
    with progress("events") as bar:
        task = bar.add_task("events", total=None)
        for stored in load_events(client, reading(file, format), noun=FORMATS[format]):
            number += stored
            bar.advance(task, stored)
    return number


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
