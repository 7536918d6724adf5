"""What agents of real frameworks said, from their spans to the chat.

tests/data/otlp/frameworks/chats: an agent of each framework as it is traced by its own
OpenTelemetry support, by OpenInference, OpenLLMetry, Logfire or LangSmith, some beside the
instrumentation of the OpenAI client, against a local stand-in for the model's API, each of whose
answers has a number of its own. Beside each request, the chat that it makes, a message a line.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ToolCall,
    TurnChat,
    UserMessage,
)
from tests.ingest.otlp.requests import recorded

CHATS = Path("tests/data/otlp/frameworks/chats")
NAMES = sorted(path.stem for path in CHATS.glob("*.json"))
FRAMEWORKS = (
    "agent_framework",
    "agno",
    "autogen",
    "beeai",
    "google_adk",
    "koog",
    "langgraph",
    "llamaindex",
    "openai_agents",
    "pydantic_ai",
)


def told(spans: Iterable[Span], *, model_calls: bool = False) -> Iterator[str]:
    """The chat of each trace: its tokens, then a line for each message."""
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    for trace_id in sorted(traces, key=lambda t: min(span.start_ns for span in traces[t])):
        yield from lines(
            trace_chat(trace_id, traces[trace_id], include_model_tool_calls=model_calls)
        )


def lines(turn: TurnChat) -> Iterator[str]:
    yield f"{turn.total_input_tokens} + {turn.total_output_tokens} tokens"
    for message in turn.messages:
        yield line(message)


def line(message: ChatMessage) -> str:
    match message.payload:
        case UserMessage() as said:
            what = said.text
        case AssistantMessage() as said:
            what = f"says {said.text!r} ({said.model})" if said.text else "says nothing"
        case ToolCall() as call:
            what = f"calls {call.tool_name} {call.tool_arguments} -> {call.tool_result}"
        case AgentStart() as start:
            what = f"starts: {start.system_instructions}"
        case AgentHandoff() as handoff:
            what = f"hands over to {handoff.to_agent}"
        case other:
            what = str(other)
    failed = f" FAILED {message.status_message}" if message.status_code == "ERROR" else ""
    text = " ".join(f"{message.agent_name or '?'}: {what}{failed}".split())
    return text if len(text) <= 160 else text[:160] + "..."


def expected(name: str) -> list[str]:
    return (CHATS / f"{name}.txt").read_text().splitlines()


def test_every_framework_is_among_the_recordings() -> None:
    assert {f for f in FRAMEWORKS if any(n.startswith(f) for n in NAMES)} == set(FRAMEWORKS)


@pytest.mark.parametrize("name", NAMES)
def test_the_chat_tells_each_question_answer_and_call_once(name: str) -> None:
    assert list(told(recorded(f"frameworks/chats/{name}.json"))) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_calls_that_were_carried_out_are_not_shown_again_as_requests(name: str) -> None:
    spans = recorded(f"frameworks/chats/{name}.json")
    shown = [calls_of(told(spans, model_calls=show)) for show in (False, True)]
    # What is more is no execution: a handoff, and a call that BeeAI dropped.
    assert set(shown[0]) <= set(shown[1])
    assert len(shown[1]) - len(shown[0]) == len(set(shown[1]) - set(shown[0]))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_spans_arrive_does_not_matter(name: str) -> None:
    spans = recorded(f"frameworks/chats/{name}.json")
    random.Random(1).shuffle(spans)
    assert list(told(spans)) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_arrived_of_a_trace_is_told_before_its_roots_come(name: str) -> None:
    spans = recorded(f"frameworks/chats/{name}.json")
    answers = set(answers_of(expected(name)))
    without_roots = [span for span in spans if span.parent_id]
    found = set(answers_of(told(without_roots)))
    if not any(span.genai.output_messages for span in spans if not span.parent_id):
        assert found == answers
    else:
        assert found <= answers


def calls_of(chat: Iterable[str]) -> Sequence[str]:
    return [text.partition(": ")[2].partition(" -> ")[0] for text in chat if ": calls " in text]


def answers_of(chat: Iterable[str]) -> Iterator[str]:
    return (text.partition(": ")[2].partition(" (")[0] for text in chat if ": says '" in text)
