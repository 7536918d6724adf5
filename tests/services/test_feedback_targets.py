"""Feedback over a real store: given back as sent, attached where it belongs, and refused by
field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from tests.services.callers import RECEIVED_NS, Caller, refusal


def test_a_chat_shows_feedback_when_asked(caller: Caller) -> None:
    caller.create_trace(
        id="a/b", input="q", logs=[{"id": "g 1", "type": "generation", "output": "a"}]
    )
    caller.give(id="turn", weave_ref="weave:///e/p/agent_turn/a%2Fb")
    caller.give(id="span", weave_ref="weave:///e/p/agent_span/g%201", span_trace_id="a/b")
    caller.give(id="of another trace", weave_ref="weave:///e/p/agent_span/g%201", span_trace_id="x")
    assert not caller.get_chat("a/b").feedback
    chat = caller.get_chat("a/b", include_feedback=True)
    assert [f.id for f in chat.feedback] == ["turn"]
    assert {m.span_id: [f.id for f in m.feedback] for m in chat.messages if m.feedback} == {
        "g 1": ["span"]
    }


def test_feedback_is_given_back_as_sent(caller: Caller) -> None:
    sent: dict[str, Any] = {
        "id": "f",
        "feedback_type": "wandb.note.1",
        "weave_ref": "weave:///e/p/agent_turn/t",
        "payload": {"note": "n", "more": [1, None]},
        "creator": "c",
        "wb_user_id": "u",
        "runnable_ref": "r",
        "call_ref": "",
        "trigger_ref": "t",
        "annotation_ref": "a",
        "scorer_tags": ["x"],
        "scorer_tag_reasons": {"x": "y"},
        "scorer_tag_confidences": {"x": 1.0},
        "scorer_ratings": {"z": -3.5},
        "scorer_rating_reasons": {"z": ""},
        "scorer_rating_confidences": {"z": 0.0},
    }
    created_at = "2027-01-15T08:00:00Z"
    answer = caller.give(**sent, span_agent_name="agent")
    assert json_format.MessageToDict(answer) == {
        "id": "f",
        "created_at": created_at,
        "wb_user_id": "u",
        "payload": sent["payload"],
    }
    (found,) = caller.feedback_of()
    assert json_format.MessageToDict(found) == {**sent, "created_at": created_at}


def test_feedback_again_replaces_but_for_the_time_it_was_first_stored(caller: Caller) -> None:
    for ref in ("weave:///e/p/agent_span/x", "weave:///e/p/object/other"):
        for second, note in enumerate(("first", "second")):
            answer = caller.give(
                RECEIVED_NS + second, id=ref[-5:], weave_ref=ref, payload={"n": note}
            )
            assert answer.created_at.ToNanoseconds() == RECEIVED_NS
        (found,) = caller.feedback_of(weave_ref=ref)
        assert json_format.MessageToDict(found.payload) == {"n": "second"}
        assert found.created_at.ToNanoseconds() == RECEIVED_NS


def test_feedback_without_an_id_gets_one_and_other_refs_are_kept(caller: Caller) -> None:
    ids = {caller.give(weave_ref="weave:///e/p/object/name:digest").id for _ in range(2)}
    assert len(ids) == 2
    assert {f.id for f in caller.feedback_of(weave_ref="weave:///e/p/object/name:digest")} == ids


TURN, SPAN, CONVERSATION = (
    f"weave:///e/p/agent_{kind}/x" for kind in ("turn", "span", "conversation")
)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"weave_ref"}),
        ({"weave_ref": "a\0b"}, {"weave_ref"}),
        ({"weave_ref": TURN, "feedback_type": ""}, {"feedback_type"}),
        (
            {"weave_ref": TURN, "feedback_type": "x" * 257, "id": "x" * 257, "creator": "\0"},
            {"feedback_type", "id", "creator"},
        ),
        ({"weave_ref": "weave:///e/p/agent_turn/"}, {"weave_ref"}),
        ({"weave_ref": "weave:///e/p/agent_turn/%00"}, {"weave_ref"}),
        ({"weave_ref": "weave:///e/p/agent_turn/%ff"}, {"weave_ref"}),
        ({"weave_ref": "weave:///e/p/agent_span/" + "x" * 257}, {"weave_ref"}),
        ({"weave_ref": TURN, "feedback_type": "wandb.note.1"}, {"payload.note"}),
        (
            {"weave_ref": TURN, "feedback_type": "wandb.note.1", "payload": {"note": ""}},
            {"payload.note"},
        ),
        (
            {"weave_ref": TURN, "feedback_type": "wandb.note.1", "payload": {"note": "x" * 1025}},
            {"payload.note"},
        ),
        (
            {"weave_ref": TURN, "feedback_type": "wandb.note.1", "payload": {"note": 1}},
            {"payload.note"},
        ),
        (
            {"weave_ref": TURN, "feedback_type": "wandb.reaction.1", "payload": {}},
            {"payload.emoji"},
        ),
        (
            {
                "weave_ref": TURN,
                "scorer_tag_confidences": {"a": 1.1},
                "scorer_rating_confidences": {"b": "NaN"},
            },
            {"scorer_tag_confidences.a", "scorer_rating_confidences.b"},
        ),
        ({"weave_ref": TURN, "scorer_ratings": {"a": "Infinity"}}, {"scorer_ratings.a"}),
        ({"weave_ref": TURN, "span_trace_id": "y"}, {"span_trace_id"}),
        ({"weave_ref": SPAN, "span_trace_id": "x" * 257}, {"span_trace_id"}),
        ({"weave_ref": CONVERSATION, "span_conversation_id": "y"}, {"span_conversation_id"}),
        ({"weave_ref": CONVERSATION, "span_trace_id": "t"}, {"span_trace_id"}),
    ],
)
def test_bad_feedback_is_named(caller: Caller, fields: dict[str, Any], named: set[str]) -> None:
    assert refusal(caller.give, **fields) == ("INVALID_ARGUMENT", named)
    assert not caller.feedback_of()


def test_feedback_that_repeats_what_its_ref_says_is_taken(caller: Caller) -> None:
    caller.give(weave_ref=TURN, span_trace_id="x", span_conversation_id="any")
    caller.give(weave_ref=CONVERSATION, span_conversation_id="x")
    caller.give(weave_ref=SPAN, span_trace_id="any", span_conversation_id="any")
    assert len(caller.feedback_of()) == 3


def test_feedback_is_paged_newest_first(caller: Caller) -> None:
    for n in range(102):
        caller.give(
            RECEIVED_NS + n,
            id=f"{n:03}",
            weave_ref=TURN,
            feedback_type="even" if n % 2 == 0 else "odd",
        )
    assert [f.id for f in caller.feedback_of()] == [f"{n:03}" for n in range(101, 1, -1)]
    assert len(caller.feedback_of(limit=2000)) == 102
    assert [f.id for f in caller.feedback_of(feedback_type="odd", limit=2, offset=1)] == [
        "099",
        "097",
    ]
    assert refusal(caller.feedback_of, limit=-1) == ("INVALID_ARGUMENT", {"limit"})
    assert refusal(caller.feedback_of, offset=-1) == ("INVALID_ARGUMENT", {"offset"})
    assert refusal(caller.feedback_of, weave_ref="\0") == ("INVALID_ARGUMENT", {"weave_ref"})
