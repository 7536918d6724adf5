"""Evaluators, registered and run: EvaluatorService, and the results that traces get in the background."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import evaluator_service_pb2, experiment_service_pb2, feedback_service_pb2
from tests.clients import CallError, until
from tests.contract.conftest import Project
from tests.contract.test_traces import create_request


def register(project: Project, slug: str, kind: str, **settings: Any) -> Any:
    fields = {"evaluator": {"slug": slug, "kind": kind, "settings": settings}}
    request = json_format.ParseDict(fields, evaluator_service_pb2.CreateEvaluatorRequest())
    return project("EvaluatorService/CreateEvaluator", request).evaluator


def results(project: Project) -> dict[tuple[str, str], dict[str, Any]]:
    """By (last part of the ref, evaluator); more than one of a pair fails."""
    request = feedback_service_pb2.QueryFeedbackRequest(
        project_id=project.name, feedback_type="spanloom.evaluation", limit=1000
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for feedback in project("FeedbackService/QueryFeedback", request).result:
        payload = json_format.MessageToDict(feedback.payload)
        key = (feedback.weave_ref.rpartition("/")[2], payload["evaluator"])
        assert key not in found
        found[key] = payload
    return found


def sampled(**fields: Any) -> Any:
    return create_request(evaluationConfig={"sampleRate": 1}, **fields)


def test_evaluators_are_listed_replaced_and_removed(project: Project) -> None:
    first = register(project, "e", "regex", pattern="a")
    assert first.version == register(project, "e", "regex", pattern="a").version
    second = register(project, "e", "regex", pattern="b")
    assert second.version != first.version
    listing = evaluator_service_pb2.ListEvaluatorsRequest()
    listed = project("EvaluatorService/ListEvaluators", listing).evaluators
    assert [(e.slug, e.kind, e.settings["pattern"]) for e in listed] == [("e", "regex", "b")]
    request = evaluator_service_pb2.DeleteEvaluatorRequest(slug="e")
    project("EvaluatorService/DeleteEvaluator", request)
    with pytest.raises(CallError, match="EVALUATOR_NOT_FOUND"):
        project("EvaluatorService/DeleteEvaluator", request)
    assert not project("EvaluatorService/ListEvaluators", listing).evaluators


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
def test_bad_evaluators_are_refused(
    project: Project, kind: str, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        register(project, "e", kind, **settings)
    assert {f.removeprefix("evaluator.") for f in refused.value.violations} == {field}


def test_a_sampled_trace_and_its_generations_get_their_results(project: Project) -> None:
    register(project, "same", "exact_match")
    register(project, "json", "json_valid")
    generation = {"id": "g", "type": "generation", "output": "no", "idealOutput": "yes"}
    tool = {"id": "t", "type": "tool", "output": "{}", "evaluators": [{"slug": "json"}]}
    request = sampled(
        id="trace",
        output="yes",
        idealOutput="yes",
        logs=[generation, tool],
        evaluators=[{"slug": "same"}],
    )
    assert not project("TraceService/CreateTrace", request).HasField("warning")
    until(lambda: len(results(project)) == 3)
    found = results(project)
    assert {key: result["score"] for key, result in found.items()} == {
        ("trace", "same"): 1,
        ("g", "same"): 0,
        ("t", "json"): 1,
    }
    assert found["trace", "same"]["label"] == "pass"
    assert found["trace", "same"]["version"]


def test_a_trace_that_is_not_sampled_is_not_evaluated(project: Project) -> None:
    register(project, "same", "exact_match")
    request = create_request(
        id="no", evaluators=[{"slug": "same"}], evaluationConfig={"sampleRate": 0}
    )
    project("TraceService/CreateTrace", request)
    project("TraceService/CreateTrace", sampled(id="yes", evaluators=[{"slug": "same"}]))
    until(lambda: len(results(project)) == 1)
    assert set(results(project)) == {("yes", "same")}


def test_an_unknown_evaluator_is_run_once_it_is_registered(project: Project) -> None:
    answer = project(
        "TraceService/CreateTrace", sampled(id="t", output="x", evaluators=[{"slug": "later"}])
    )
    assert answer.warning == 'No evaluator found with the slug "later"'
    register(project, "now", "length")
    project("TraceService/CreateTrace", sampled(id="u", evaluators=[{"slug": "now"}]))
    until(lambda: len(results(project)) == 1)
    register(project, "later", "contains", texts=["x"])
    until(lambda: len(results(project)) == 2)
    assert results(project)["t", "later"]["score"] == 1


def test_a_replaced_trace_is_evaluated_anew(project: Project) -> None:
    register(project, "short", "length", max=3)
    evaluators = [{"slug": "short"}]
    logs = [{"id": "g", "type": "generation", "output": "ok"}]
    project(
        "TraceService/CreateTrace", sampled(id="t", output="ok", evaluators=evaluators, logs=logs)
    )
    until(lambda: len(results(project)) == 2)
    project("TraceService/CreateTrace", sampled(id="t", output="long", evaluators=evaluators))
    until(lambda: [r["score"] for r in results(project).values()] == [0])


def test_an_experiment_shows_what_its_evaluators_found(project: Project) -> None:
    register(project, "near", "edit_similarity")
    register(project, "same", "exact_match")
    create = experiment_service_pb2.CreateExperimentRequest(feature_slug="qa", name="e")
    experiment_id = project("ExperimentService/CreateExperiment", create).id
    for output in ("abcd", "abcx", "abxx", "xxxx"):
        request = create_request(
            featureSlug="qa",
            output=output,
            idealOutput="abcd",
            experiment={"id": experiment_id},
            evaluators=[{"slug": "near"}, {"slug": "same"}],
        )
        project("TraceService/CreateTrace", request)
    until(lambda: len(results_of(project, experiment_id)) == 2)
    near, same = results_of(project, experiment_id)
    assert (near.evaluator, near.scored, near.mean, near.min, near.median, near.max) == (
        *("near", 4),
        *(0.5625, 0, 0.625, 1),
    )
    assert list(near.histogram) == [1, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert dict(same.labels) == {"pass": 1, "fail": 3}


def results_of(project: Project, experiment_id: str) -> list[Any]:
    request = experiment_service_pb2.GetExperimentRequest(experiment_id=experiment_id)
    found = project("ExperimentService/GetExperiment", request).evaluations
    return [summary for summary in found if summary.results == 4]
