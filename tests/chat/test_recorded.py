"""The six recorded traces, message by message against the recorded views, but for the documented
differences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanloom.chat.feedback import attach_feedback
from spanloom.chat.view import trace_chat
from spanloom.model import Feedback
from tests.chat.captured import DATA, as_expected, recorded, span_of

TRACES = sorted(path.stem for path in DATA.glob("0*.json") if "oracle" not in path.name)


def spans_of(name: str) -> list[dict[str, Any]]:
    captured: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text())["spans"]
    return captured


def views_of(name: str, kind: str) -> list[dict[str, Any]]:
    view = json.loads((DATA / f"{name}.{kind}.json").read_text())
    return [recorded(turn) for turn in view.get("turns", [view])]


def with_our_differences(name: str, view: dict[str, Any], *, model_calls: bool) -> dict[str, Any]:
    """What docs/contracts/agent_chat.md, section 3, changes in a recorded view, for each trace."""
    messages = view["messages"]
    if name == "02_subagent_handoff":
        call = next(i for i, m in enumerate(messages) if m.get("span_id") == "h")
        # docs/contracts/agent_chat.md, section 3.6
        messages[call]["tool_call"]["tool_arguments"] = "{}"
        handoff = {k: v for k, v in messages[call].items() if k != "tool_call"}
        handoff |= {
            "type": "agent_handoff",
            "agent_handoff": {"from_agent": "triage", "to_agent": "billing"},
        }
        # docs/contracts/agent_chat.md, section 3.10
        messages.insert(call + 1, handoff)
    if name == "05_errors":
        # docs/contracts/agent_chat.md, section 3.11
        types = {"root": "AgentFailed", "t1": "TimeoutError", "l2": "openai.RateLimitError"}
        for message in messages:
            if error_type := types.get(message.get("span_id", "")):
                message["error_type"] = error_type
    if name == "06_parallel_tools" and model_calls:
        # docs/contracts/agent_chat.md, section 3.13
        [call] = [m for m in messages if m.get("tool_call", {}).get("tool_name") == "c"]
        call["tool_call"]["tool_result"] = "C"
    return view


@pytest.mark.parametrize("model_calls", [False, True])
@pytest.mark.parametrize("name", TRACES)
def test_a_recorded_trace_gives_the_recorded_view(name: str, model_calls: bool) -> None:
    spans = [span_of(captured) for captured in spans_of(name)]
    views = views_of(name, "oracle.model_tool_calls" if model_calls else "oracle")
    assert views
    for view in views:
        view.pop("feedback", None)
        turn = trace_chat(
            view["trace_id"],
            [span for span in spans if span.trace_id == view["trace_id"]],
            include_model_tool_calls=model_calls,
        )
        assert as_expected(turn) == with_our_differences(name, view, model_calls=model_calls)


def test_all_six_traces_are_there() -> None:
    assert len(TRACES) == 6


def test_recorded_feedback_stands_on_the_trace_and_on_every_message_of_its_span() -> None:
    feedback = [
        Feedback(id=f["id"], target=f["target"], target_id=f["target_id"])
        for f in json.loads((DATA / "01_feedback.input").read_text())
    ]
    spans = [span_of(captured) for captured in spans_of("01_multi_turn_tools")]
    view = json.loads((DATA / "01_multi_turn_tools.oracle.feedback.json").read_text())
    assert any(turn["feedback"] for turn in view["turns"])
    for expected in view["turns"]:
        of_trace = [span for span in spans if span.trace_id == expected["trace_id"]]
        turn = attach_feedback(trace_chat(expected["trace_id"], of_trace), feedback)
        assert turn.feedback is not None
        assert [f.id for f in turn.feedback] == [f["id"] for f in expected["feedback"]]
        assert [m.feedback and [f.id for f in m.feedback] for m in turn.messages] == [
            m["feedback"] and [f["id"] for f in m["feedback"]] for m in expected["messages"]
        ]
