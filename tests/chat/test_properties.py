"""What holds for any spans: nothing raises, no answer is lost or made up, the order given does not
matter."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.chat.view import trace_chat
from spanloom.model import Span
from spanloom.model.turn import AssistantMessage, ToolCall, UserMessage
from tests.chat.spans import agent, assistant, chat, messages_of, tool, turn_of, user
from tests.parts import parts

IDS = [f"s{i}" for i in range(8)]
words = st.sampled_from(
    ["", "yes", "q", "[1]", "weave:///e/p/object/n:d", "transfer_to_b", "b", '{"a":1}', "ü"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "content", "text", "error"]), inner, max_size=3)
    ),
    max_leaves=6,
)
part = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["text", "reasoning", "tool_call", "tool_call_response", "uri", "blob", "tool_use"]
        )
        | scalars,
        "content": json_values,
        "id": words,
        "name": words,
        "uri": words,
        "response": json_values,
        "arguments": json_values,
    },
)
message = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "developer"]) | scalars,
        "content": words | st.lists(part | json_values, max_size=3) | json_values,
        "parts": st.lists(part | json_values, max_size=3) | json_values,
        "tool_calls": st.lists(part | json_values, max_size=2) | json_values,
        "tool_call_id": words | json_values,
    },
)
messages = st.lists(message | json_values, max_size=4) | message | json_values
io = (
    json_values
    | messages
    | st.dictionaries(
        st.sampled_from(
            [
                "chat_history",
                "messages",
                "question",
                "content",
                "choices",
                "result",
                "role",
                "_params_",
                "value",
            ]
        ),
        messages | json_values,
        max_size=3,
    )
)
counts = st.none() | st.integers(0, 9)
costs = st.none() | st.floats(0, 1)
objects = st.dictionaries(st.sampled_from(["user", "user_id", "error", "id"]), json_values)
BODY: dict[str, st.SearchStrategy[Any]] = {
    "input_messages": messages,
    "output_messages": messages,
    "inputs": io,
    "outputs": io,
    "log_type": st.sampled_from(["span", "generation", "tool", "retrieval", "event"]) | words,
    "system_instructions": words,
    "tool_definitions": json_values,
    "tool": st.fixed_dictionaries(
        {},
        optional={
            "name": words,
            "call_id": words,
            "arguments": json_values,
            "result": json_values,
        },
    ),
    "agent": st.fixed_dictionaries({}, optional={"id": words, "version": words}),
    "compaction": st.fixed_dictionaries({}, optional={"summary": words, "items_before": counts}),
    "content_refs": st.lists(words, max_size=2),
    "reasoning": words,
    "relayed": st.booleans(),
    "reasoning_tokens": counts,
    "input_cost": costs,
    "output_cost": costs,
    "handoff": st.fixed_dictionaries({}, optional={"from_agent": words, "to_agent": words}),
    "error": words,
    "error_type": words,
    "status_message": words,
    "instrumentation": words,
    "metadata": objects,
    "user": st.fixed_dictionaries({}, optional={"id": words}),
    "user_properties": objects,
    "start_unknown": st.booleans(),
}


@st.composite
def odd_spans(draw: st.DrawFn) -> list[Span]:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=8, unique=True))
    return [
        Span(
            trace_id="t",
            span_id=span_id,
            event_id=span_id,
            session_id="t",
            parent_id=draw(st.sampled_from(["", "nobody", *IDS])),
            name=draw(
                st.sampled_from(["", "invoke_agent b", "execute_tool x", "handoff to b", "a -> b"])
            ),
            kind=draw(st.sampled_from(["chain", "model", "tool", "session"])),
            operation=draw(
                st.sampled_from(
                    ["", "chat", "invoke_agent", "execute_tool", "handoff", "assistant_text", "Odd"]
                )
            ),
            start_ns=draw(st.integers(0, 5)),
            end_ns=draw(st.none() | st.integers(0, 5)),
            duration_ms=draw(st.none() | st.floats()),
            status=draw(st.sampled_from(["UNSET", "OK", "ERROR"])),
            agent_name=draw(st.sampled_from(["", "a", "b"])),
            input_tokens=draw(st.none() | st.integers(0, 9)),
            cost=draw(st.none() | st.floats(0, 1)),
            **parts(draw(st.fixed_dictionaries({}, optional=BODY))),
        )
        for span_id in ids
    ]


@settings(max_examples=35)
@given(odd_spans(), st.booleans(), st.randoms(use_true_random=False))
def test_no_spans_make_it_raise_and_their_order_does_not_matter(
    spans: list[Span], model_calls: bool, shuffle: random.Random
) -> None:
    turn = trace_chat("t", spans, include_model_tool_calls=model_calls)
    shuffled = [*spans]
    shuffle.shuffle(shuffled)
    again = trace_chat("t", shuffled, include_model_tool_calls=model_calls)
    assert repr(again) == repr(turn)  # by its text, as NaN is not equal to itself
    for told in turn.messages:
        payload = told.payload
        assert told.type == payload.type
        for name in payload.__slots__:
            value = getattr(payload, name)
            if name == "content_refs":
                assert isinstance(value, tuple)
                assert all(isinstance(ref, str) for ref in value)
            elif name.endswith(("_ms", "_tokens", "_before", "_after")):
                assert value is None or type(value) is int
            elif not name.endswith("_usd"):
                assert isinstance(value, str)


@st.composite
def plain_traces(draw: st.DrawFn) -> list[tuple[str, int, str]]:
    """(kind, index of the parent or -1, text or "") of each span; a parent comes before its
    children."""
    kinds = draw(st.lists(st.sampled_from(["agent", "chat", "tool"]), min_size=1, max_size=12))
    return [
        (kind, draw(st.integers(-1, i - 1)), draw(st.sampled_from(["", f"said {i}"])))
        for i, kind in enumerate(kinds)
    ]


def as_spans(trace: list[tuple[str, int, str]]) -> list[Span]:
    spans = []
    for i, (kind, parent, text) in enumerate(trace):
        outputs = [assistant(text)] if text else None
        above = str(parent) if parent >= 0 else ""
        inputs = [user(f"asked {i}")]
        match kind:
            case "agent":
                spans.append(
                    agent(
                        str(i), above, name=f"agent {i}", start=i, outputs=outputs, input_tokens=1
                    )
                )
            case "chat":
                spans.append(
                    chat(str(i), above, start=i, inputs=inputs, outputs=outputs, input_tokens=1)
                )
            case "tool":
                spans.append(tool(str(i), above, start=i, name=f"tool {i}"))
    return spans


@settings(max_examples=50)
@given(plain_traces())
def test_every_answer_of_a_model_every_question_and_every_tool_call_is_there_exactly_once(
    trace: list[tuple[str, int, str]],
) -> None:
    shown = messages_of(*as_spans(trace))

    def spoke_below(index: int) -> bool:
        below = [i for i, (_, parent, _) in enumerate(trace) if parent == index]
        return any((trace[i][2] and trace[i][0] != "tool") or spoke_below(i) for i in below)

    answers = [
        text
        for i, (kind, _, text) in enumerate(trace)
        if text and (kind == "chat" or (kind == "agent" and not spoke_below(i)))
    ]
    payloads = [m.payload for m in shown]
    assert Counter(p.text for p in payloads if isinstance(p, AssistantMessage)) == Counter(answers)
    asked = [f"asked {i}" for i, (kind, _, _) in enumerate(trace) if kind == "chat"]
    assert Counter(p.text for p in payloads if isinstance(p, UserMessage)) == Counter(asked)
    used = [f"tool {i}" for i, (kind, _, _) in enumerate(trace) if kind == "tool"]
    assert Counter(p.tool_name for p in payloads if isinstance(p, ToolCall)) == Counter(used)
    started = [str(i) for i, (kind, _, _) in enumerate(trace) if kind == "agent"]
    assert Counter(m.span_id for m in shown if m.type == "agent_start") == Counter(started)


@settings(max_examples=50)
@given(plain_traces())
def test_a_message_comes_after_the_start_or_call_that_it_is_inside_of(
    trace: list[tuple[str, int, str]],
) -> None:
    shown = [m for m in messages_of(*as_spans(trace)) if m.type != "user_message"]
    opened = {
        m.span_id: i for i, m in reversed(list(enumerate(shown))) if m.type != "assistant_message"
    }
    for index, told in enumerate(shown):
        above = trace[int(told.span_id or 0)][1]
        if above >= 0 and trace[above][0] != "chat":
            assert opened[str(above)] < index


@given(st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=12))
def test_a_growing_history_shows_each_turn_once_whatever_was_said(turns: list[str]) -> None:
    history: list[Any] = []
    spans = []
    for i, said in enumerate(turns):
        history = [*history, user(said)]
        spans.append(chat(f"{i:02}", start=i, inputs=history, outputs=[assistant(f"a{i}")]))
        history = [*history, assistant(f"a{i}")]
    texts = [m.payload.text for m in turn_of(*spans).messages if isinstance(m.payload, UserMessage)]
    assert texts == turns
