"""What the terminal is sent: no stored text can control it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from spanloom import terminal
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ToolCall,
    TurnChat,
    UserMessage,
)

# Clears the screen, and writes the clipboard.
HOSTILE = "a\x1b[2J\x1b]52;c;eA==\x07\x9b1mb\x7f\r"


def _drawn(turn: TurnChat) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(terminal.draw(turn))
    return out.getvalue()


def _controls(text: str) -> set[str]:
    return {letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160} - {"\n"}


@pytest.mark.parametrize(
    "payload",
    [
        UserMessage(text=HOSTILE, content_refs=(HOSTILE,)),
        AssistantMessage(text=HOSTILE, model=HOSTILE, reasoning_content=HOSTILE),
        ToolCall(tool_name=HOSTILE, tool_arguments=HOSTILE, tool_result=HOSTILE, status="ERROR"),
        AgentStart(system_instructions=HOSTILE, model=HOSTILE),
        AgentHandoff(from_agent=HOSTILE, to_agent=HOSTILE),
    ],
    ids=lambda payload: type(payload).__name__,
)
def test_a_chat_has_no_control_characters(payload: Any) -> None:
    message = ChatMessage(payload=payload, agent_name=HOSTILE, status_message=HOSTILE)
    turn = TurnChat(trace_id=HOSTILE, root_span_name=HOSTILE, messages=(message,))
    drawn = _drawn(turn)
    assert _controls(drawn) == set()
    assert "␛" in drawn


def test_a_table_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.WRITERS["table"]([HOSTILE], [[HOSTILE], [None], [b"\x00"]])
    drawn = capsys.readouterr().out
    assert _controls(drawn) == set()
    assert "3 rows" in drawn
    assert "AA==" in drawn


def test_json_lines_have_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.WRITERS["jsonl"](["a", "b", "c"], [[1, None, HOSTILE], [2.5, b"\xff", ""]])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"a": 1, "b": None, "c": HOSTILE}, {"a": 2.5, "b": "/w==", "c": ""}]


def test_only_the_first_rows_of_a_long_table_are_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_MOST_ROWS", 2)
    terminal.WRITERS["table"](["n"], ([n] for n in range(5)))
    drawn = capsys.readouterr().out
    assert "5 rows (2 shown)" in drawn
    assert [line.strip("│ ") for line in drawn.splitlines() if "│" in line] == ["0", "1"]
