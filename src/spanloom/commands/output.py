"""What commands print: tables for people, tab-separated values for pipes, and JSON.

On a terminal a table has aligned columns and colours. Elsewhere a row is a line of values with tabs
between them. In both, no stored text can control the terminal, and a failure is a word. The summary
is printed on standard error.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any, NamedTuple

import click

# What a terminal shows of a text in a table.
_LONGEST_CELL = 60


class Column(NamedTuple):
    """A column: its heading, the text of a row, and whether it is a number."""

    heading: str
    value: Callable[[Any], str]
    is_number: bool = False


class Output:
    """How a command prints: "table", "json" or "jsonl"."""

    def __init__(self, format: str) -> None:
        self.format = format

    def rows(
        self,
        messages: Iterable[Any],
        columns: Sequence[Column],
        noun: str,
        *,
        limit: int = 0,
    ) -> int:
        """Print messages, at most `limit` of them unless it is 0. Returns how many."""
        counted = _Counted(messages, limit)
        if self.format == "json":
            _print_array(counted)
        elif self.format == "jsonl":
            for message in counted:
                sys.stdout.write(f"{as_json(message)}\n")
        elif sys.stdout.isatty():
            _print_table(counted, columns)
        else:
            _print_tabbed(counted, columns)
        sys.stdout.flush()
        if self.format == "table":
            more = f"; there are more: --limit {limit * 10}" if counted.has_more else ""
            click.echo(f"{count(counted.number, noun)}{more}", err=True)
        return counted.number


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --json and --jsonl, as the argument `output`."""

    @functools.wraps(command)
    def run(*args: Any, as_json: bool, as_jsonl: bool, **given: Any) -> Any:
        if as_json and as_jsonl:
            raise click.UsageError("--json and --jsonl exclude each other")
        format = "json" if as_json else "jsonl" if as_jsonl else "table"
        return command(*args, output=Output(format), **given)

    made = click.option("--jsonl", "as_jsonl", is_flag=True, help="Print JSON, one line each.")(run)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")(made)


def limit_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --limit."""
    return click.option(
        "--limit",
        type=click.IntRange(0),
        default=20,
        show_default=True,
        help="The most rows to print; 0 for all.",
    )(command)


def as_json(message: Any) -> str:
    """A message as canonical JSON on one line; fields without presence are always there."""
    from spanloom.codec import json_codec

    return json_codec.to_json(message).decode()


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def progress(noun: str) -> Any:
    """A progress bar on standard error, with count, rate and the rest of the time, if that is a
    terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.text import Text

    class Numbers(ProgressColumn):
        def render(self, task: Any) -> Text:
            total = "" if task.total is None else f" of {task.total:,.0f}"
            rate = "" if not task.speed else f", {task.speed:,.0f}/s"
            return Text(f"{task.completed:,.0f}{total} {noun}{rate}")

    console = Console(stderr=True)
    columns = (BarColumn(), Numbers(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def time_text(value: Any) -> str:
    """A Timestamp in UTC, "" for none."""
    if not (value.seconds or value.nanos):
        return ""
    return value.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S")  # type: ignore[no-any-return]


def seconds_text(value: Any) -> str:
    """A Duration in seconds."""
    return f"{value.ToNanoseconds() / 1e9:.2f}"


def cost_text(figures: Any) -> str:
    return f"{figures.cost_usd:.6f}" if figures.HasField("cost_usd") else ""


def state_text(status: Any, *, running: bool = False, errors: int = 0) -> str:
    """How something ended, as a word."""
    from spanloom.v1.span_pb2 import STATUS_CODE_ERROR

    if status.code == STATUS_CODE_ERROR:
        return "error"
    if running:
        return "running"
    return "errors inside" if errors else "ok"


def one_line(text: str) -> str:
    """A text on one line, in which nothing controls the terminal."""
    from spanloom.terminal import visible

    return visible(" ".join(text.split()))


class _Counted:
    """The first items of an iterable, counted. `has_more` is known at the end."""

    def __init__(self, items: Iterable[Any], limit: int) -> None:
        rest = iter(items)
        # What cannot be read fails here, before anything is printed.
        self._items = itertools.chain(list(itertools.islice(rest, 1)), rest)
        self._limit = limit
        self.number = 0
        self.has_more = False

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            if self._limit and self.number == self._limit:
                self.has_more = True
                return
            self.number += 1
            yield item


def _print_array(messages: Iterable[Any]) -> None:
    separator = "["
    for message in messages:
        sys.stdout.write(f"{separator}\n{as_json(message)}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def _print_tabbed(messages: Iterable[Any], columns: Sequence[Column]) -> None:
    sys.stdout.write("\t".join(column.heading for column in columns) + "\n")
    for message in messages:
        cells = (one_line(column.value(message)) for column in columns)
        sys.stdout.write("\t".join(cells) + "\n")


def _print_table(messages: Iterable[Any], columns: Sequence[Column]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        is_id = column.heading.endswith("id")
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            overflow="fold" if is_id else "ellipsis",
            no_wrap=not is_id,
        )
    for message in messages:
        cells = [one_line(column.value(message)) for column in columns]
        failed = any(cell.startswith("error") for cell in cells)
        style = "red" if failed else ""
        table.add_row(*(Text(_short(cell), style) for cell in cells))
    Console().print(table)


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 1]}…"
