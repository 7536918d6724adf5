"""FeedbackService, by its promises in proto/spanloom/v1/feedback_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict, create_feedback, query_feedback
from tests.contract.conftest import Project


def test_create_feedback_replaces_the_feedback_of_its_id(project: Project) -> None:
    for note in ("first", "second"):
        answer = create_feedback(
            project, id="f", weave_ref="weave:///e/p/agent_turn/t", payload={"note": note}
        )
        assert answer.id == "f"
    found = query_feedback(project)
    assert [as_dict(f.payload) for f in found] == [{"note": "second"}]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"weave_ref": ""}, "weave_ref"),
        ({"feedback_type": ""}, "feedback_type"),
        ({"payload": {"note": "x" * 1025}}, "payload.note"),
        ({"span_trace_id": "another"}, "span_trace_id"),
        (
            {"weave_ref": "weave:///e/p/agent_conversation/c", "span_trace_id": "t"},
            "span_trace_id",
        ),
    ],
)
def test_create_feedback_names_a_bad_field(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        create_feedback(project, **{"weave_ref": "weave:///e/p/agent_turn/t", **fields})
    assert set(refused.value.violations) == {named}


def test_query_feedback_gives_the_newest_first(project: Project) -> None:
    for n in range(5):
        create_feedback(project, id=str(n), weave_ref=f"weave:///e/p/agent_turn/{n % 2}")
    assert [f.id for f in query_feedback(project)] == ["4", "3", "2", "1", "0"]
    of_one = query_feedback(project, weave_ref="weave:///e/p/agent_turn/0", limit=2, offset=1)
    assert [f.id for f in of_one] == ["2", "0"]
    assert not query_feedback(project, feedback_type="none")
