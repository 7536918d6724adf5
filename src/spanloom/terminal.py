"""What the command line prints: chats and tables in a terminal, by rich; rows as CSV and JSON."""

from __future__ import annotations

import base64
import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ContextCompacted,
    ToolCall,
    TurnChat,
    UserMessage,
)

_LONGEST_TEXT = 4000
# Rows of a table that are read before it is drawn.
_MOST_ROWS = 10_000
# What a terminal obeys instead of showing it, as the pictures that Unicode has of them.
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def visible(text: str) -> str:
    """A text in which no character controls the terminal."""
    return text.translate(_PICTURES)


def draw(turn: TurnChat) -> RenderableType:
    """The chat, one block per message, between a heading (name, start, duration) and the totals."""
    return Group(_heading(turn), *(_message(message) for message in turn.messages), _totals(turn))


def _heading(turn: TurnChat) -> Text:
    facts = [turn.trace_id, turn.status_code or ""]
    if turn.started_ns:
        facts.append(f"{datetime.fromtimestamp(turn.started_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if turn.total_duration_ms:
        facts.append(_seconds(turn.total_duration_ms))
    name = turn.root_span_name or "trace"
    facts = [visible(fact) for fact in facts if fact]
    return Text.assemble((visible(name), "bold"), "  ", ("  ".join(facts), "dim"))


def _totals(turn: TurnChat) -> Text:
    tokens = f"{turn.total_input_tokens} tokens in, {turn.total_output_tokens} out"
    cost = "" if turn.total_cost_usd is None else f", ${turn.total_cost_usd:.6f}"
    return Text(f"{len(turn.messages)} messages, {tokens}{cost}", style="dim")


def _message(message: ChatMessage) -> RenderableType:
    who = message.agent_name or "agent"
    match message.payload:
        case UserMessage(text=text, content_refs=refs):
            return _panel(who, "cyan", text, refs)
        case AssistantMessage() as said:
            body = Text(_short(said.text))
            if said.reasoning_content:
                body = Text.assemble((_short(said.reasoning_content), "dim italic"), "\n\n", body)
            facts = [
                said.model,
                _seconds(said.duration_ms),
                said.status if said.status == "ERROR" else "",
            ]
            error = message.status_message if said.status == "ERROR" else ""
            return _panel(who, _colour(said.status, "green"), body, said.content_refs, facts, error)
        case ToolCall() as call:
            body = Text.assemble(
                (f"{visible(call.tool_name)}({_short(call.tool_arguments)})", "bold"),
                f"\n→ {_short(call.tool_result)}" if call.tool_result else "",
            )
            error = message.status_message if call.status == "ERROR" else ""
            facts = [_seconds(call.duration_ms)]
            return _panel(
                f"{who} calls",
                _colour(call.status, "yellow"),
                body,
                call.content_refs,
                facts,
                error,
            )
        case AgentStart() as start:
            return _panel(f"{who} starts", "blue", start.system_instructions, (), [start.model])
        case AgentHandoff(from_agent=giver, to_agent=taker):
            handoff = visible(f"{giver or who} hands over to {taker}")
            return Text(handoff, style="magenta")
        case ContextCompacted() as compacted:
            before, after = compacted.compaction_items_before, compacted.compaction_items_after
            return _panel(
                "context compacted",
                "magenta",
                compacted.compaction_summary,
                (),
                [f"{before} → {after} items"],
            )


def _panel(
    title: str,
    colour: str,
    body: str | Text,
    refs: tuple[str, ...],
    facts: list[str] | None = None,
    error: str | None = "",
) -> Panel:
    text = Text(_short(body)) if isinstance(body, str) else body
    for ref in refs:
        text.append(f"\n[{visible(ref)}]", style="dim")
    if error:
        text.append(f"\n{_short(error)}", style="red")
    subtitle = Text(visible("  ".join(filter(None, facts or []))), style="dim")
    return Panel(
        text,
        title=Text(visible(title)),
        title_align="left",
        subtitle=subtitle if subtitle.plain else None,
        subtitle_align="right",
        border_style=colour,
    )


def _colour(status: str, normal: str) -> str:
    return "red" if status == "ERROR" else normal


def _seconds(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _short(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return visible(text)
    return f"{visible(text[:_LONGEST_TEXT])}… ({len(text) - _LONGEST_TEXT} more characters)"


def _print_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table()
    for name in names:
        table.add_column(Text(visible(name)), overflow="fold")
    number = 0
    for row in rows:
        number += 1
        if number <= _MOST_ROWS:
            table.add_row(*(Text(visible(_cell(value))) for value in row))
    shown = f" ({_MOST_ROWS} shown)" if number > _MOST_ROWS else ""
    console = Console()
    console.print(table)
    console.print(f"{number} row{'s' if number != 1 else ''}{shown}", highlight=False)


def _print_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)


def _print_json_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    for row in rows:
        line = orjson.dumps(dict(zip(names, row, strict=True)), default=_cell)
        sys.stdout.write(f"{line.decode()}\n")


def _cell(value: Any) -> str:
    """A value as text: bytes in base64, nothing for NULL."""
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    return "" if value is None else str(value)


# Prints the rows of a result, by the name of a format.
WRITERS: Final[dict[str, Callable[[Sequence[str], Iterable[Sequence[Any]]], None]]] = {
    "table": _print_table,
    "csv": _print_csv,
    "jsonl": _print_json_lines,
}
