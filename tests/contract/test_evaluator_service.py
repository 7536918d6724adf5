"""EvaluatorService, by its promises in its proto file, and the results that traces get later."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError, until
from tests.contract.calls import as_dict, create_evaluator, create_trace, query_feedback
from tests.contract.conftest import Project


def results(project: Project) -> dict[tuple[str, str], dict[str, Any]]:
    """By (last part of the ref, evaluator); more than one of a pair fails."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for feedback in query_feedback(project, feedback_type="spanloom.evaluation", limit=1000):
        payload = as_dict(feedback.payload)
        key = (feedback.weave_ref.rpartition("/")[2], payload["evaluator"])
        assert key not in found
        found[key] = payload
    return found


def create_sampled_trace(project: Project, **fields: Any) -> Any:
    return create_trace(project, evaluationConfig={"sampleRate": 1}, **fields)


def test_create_evaluator_replaces_list_evaluators_lists_and_delete_evaluator_removes(
    project: Project,
) -> None:
    first = create_evaluator(project, "e", "regex", pattern="a")
    assert first.version == create_evaluator(project, "e", "regex", pattern="a").version
    second = create_evaluator(project, "e", "regex", pattern="b")
    assert second.version != first.version
    listed = project.send("EvaluatorService/ListEvaluators").evaluators
    assert [(e.slug, e.kind, e.settings["pattern"]) for e in listed] == [("e", "regex", "b")]
    project.send("EvaluatorService/DeleteEvaluator", slug="e")
    with pytest.raises(CallError, match="EVALUATOR_NOT_FOUND"):
        project.send("EvaluatorService/DeleteEvaluator", slug="e")
    assert not project.send("EvaluatorService/ListEvaluators").evaluators


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("nonsense", {}, "kind"),
        ("regex", {}, "settings.pattern"),
        ("regex", {"pattern": "("}, "settings.pattern"),
        ("regex", {"pattern": 1}, "settings.pattern"),
        ("exact_match", {"other": 1}, "settings.other"),
        ("latency", {"max_ms": True}, "settings.max_ms"),
        ("latency", {"max_ms": -1}, "settings.max_ms"),
        ("contains", {"texts": []}, "settings.texts"),
        ("json_schema", {"schema": {"type": "nonsense"}}, "settings.schema"),
        ("prompt", {"prompt": "{{nothing}}"}, "settings.prompt"),
    ],
)
def test_create_evaluator_names_a_bad_field(
    project: Project, kind: str, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        create_evaluator(project, "e", kind, **settings)
    assert {f.removeprefix("evaluator.") for f in refused.value.violations} == {field}


def test_create_evaluator_runs_what_waited_for_it(project: Project) -> None:
    answer = create_sampled_trace(project, id="t", output="x", evaluators=[{"slug": "later"}])
    assert answer.warning == 'No evaluator found with the slug "later"'
    create_evaluator(project, "now", "length")
    create_sampled_trace(project, id="u", evaluators=[{"slug": "now"}])
    until(lambda: len(results(project)) == 1)
    create_evaluator(project, "later", "contains", texts=["x"])
    until(lambda: len(results(project)) == 2)
    assert results(project)["t", "later"]["score"] == 1


def test_create_trace_that_is_sampled_is_evaluated_with_its_generations(project: Project) -> None:
    create_evaluator(project, "same", "exact_match")
    create_evaluator(project, "json", "json_valid")
    generation = {"id": "g", "type": "generation", "output": "no", "idealOutput": "yes"}
    tool = {"id": "t", "type": "tool", "output": "{}", "evaluators": [{"slug": "json"}]}
    answer = create_sampled_trace(
        project,
        id="trace",
        output="yes",
        idealOutput="yes",
        logs=[generation, tool],
        evaluators=[{"slug": "same"}],
    )
    assert not answer.HasField("warning")
    until(lambda: len(results(project)) == 3)
    found = results(project)
    assert {key: result["score"] for key, result in found.items()} == {
        ("trace", "same"): 1,
        ("g", "same"): 0,
        ("t", "json"): 1,
    }
    assert found["trace", "same"]["label"] == "pass"
    assert found["trace", "same"]["version"]


def test_create_trace_that_is_not_sampled_is_not_evaluated(project: Project) -> None:
    create_evaluator(project, "same", "exact_match")
    create_trace(
        project, id="no", evaluators=[{"slug": "same"}], evaluationConfig={"sampleRate": 0}
    )
    create_sampled_trace(project, id="yes", evaluators=[{"slug": "same"}])
    until(lambda: len(results(project)) == 1)
    assert set(results(project)) == {("yes", "same")}


def test_create_trace_that_replaces_another_is_evaluated_anew(project: Project) -> None:
    create_evaluator(project, "short", "length", max=3)
    evaluators = [{"slug": "short"}]
    logs = [{"id": "g", "type": "generation", "output": "ok"}]
    create_sampled_trace(project, id="t", output="ok", evaluators=evaluators, logs=logs)
    until(lambda: len(results(project)) == 2)
    create_sampled_trace(project, id="t", output="long", evaluators=evaluators)
    until(lambda: [r["score"] for r in results(project).values()] == [0])
