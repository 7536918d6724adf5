"""ExperimentService, by its promises in proto/spanloom/v1/experiment_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.v1 import experiment_service_pb2, feedback_service_pb2, trace_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project
from tests.contract.test_traces import create_request, get


def create(project: Project, slug: str = "qa", name: str = "exp A") -> Any:
    request = experiment_service_pb2.CreateExperimentRequest(feature_slug=slug, name=name)
    return project("ExperimentService/CreateExperiment", request)


def get_experiment(project: Project, experiment_id: str, **page: Any) -> Any:
    request = experiment_service_pb2.GetExperimentRequest(experiment_id=experiment_id, **page)
    return project("ExperimentService/GetExperiment", request)


def test_an_experiment_is_made_flat_and_read_back(project: Project) -> None:
    made = create(project)
    assert (made.name, made.feature_slug) == ("exp A", "qa")
    assert made.id
    assert made.HasField("created_at")
    found = get_experiment(project, made.id)
    assert (found.experiment.id, found.experiment.name) == (made.id, "exp A")
    assert found.experiment.created_at == made.created_at
    assert not found.traces
    assert not found.evaluations


def test_feature_and_name_are_required(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        create(project, "", "")
    assert set(refused.value.violations) == {"featureSlug", "name"}


def test_an_unknown_experiment_is_not_found(project: Project) -> None:
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        get_experiment(project, "nope")


def test_lists_are_newest_first_and_paged(project: Project) -> None:
    made = [create(project, "even" if n % 2 == 0 else "odd", f"e{n}").id for n in range(5)]
    seen, token = [], ""
    while True:
        request = experiment_service_pb2.ListExperimentsRequest(page_size=2, page_token=token)
        page = project("ExperimentService/ListExperiments", request)
        seen += [experiment.id for experiment in page.experiments]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    request = experiment_service_pb2.ListExperimentsRequest(feature_slug="odd")
    listed = project("ExperimentService/ListExperiments", request).experiments
    assert [experiment.id for experiment in listed] == [made[3], made[1]]


def test_a_trace_of_an_experiment_is_always_sampled_and_listed(project: Project) -> None:
    made = create(project)
    for n in range(3):
        request = create_request(
            id=f"t{n}",
            featureSlug="qa",
            experiment={"id": made.id},
            evaluationConfig={"sampleRate": 0},
            startTime=f"2026-01-0{n + 1}T00:00:00Z",
        )
        answer = project("TraceService/CreateTrace", request)
        assert not answer.HasField("warning")
        assert get(project, f"t{n}").sampled
    project("TraceService/CreateTrace", create_request(id="other", featureSlug="qa"))
    first = get_experiment(project, made.id, page_size=2)
    assert [trace.id for trace in first.traces] == ["t2", "t1"]
    second = get_experiment(project, made.id, page_size=2, page_token=first.next_page_token)
    assert [trace.id for trace in second.traces] == ["t0"]
    assert not second.next_page_token


def test_what_does_not_resolve_is_told_and_kept(project: Project) -> None:
    made = create(project)
    answers = {}
    for slug, experiment_id in (("other", made.id), ("qa", "unknown")):
        request = create_request(id=slug, featureSlug=slug, experiment={"id": experiment_id})
        answers[slug] = project("TraceService/CreateTrace", request).warning
        assert get(project, slug).experiment.id == experiment_id
    assert 'of the feature "qa"' in answers["other"]
    assert 'No experiment found with the id "unknown"' in answers["qa"]
    assert not get_experiment(project, made.id).traces


def test_only_results_of_evaluators_count(project: Project) -> None:
    made = create(project)
    request = create_request(id="t", featureSlug="qa", experiment={"id": made.id})
    project("TraceService/CreateTrace", request)
    feedback = feedback_service_pb2.CreateFeedbackRequest(
        project_id=project.name, weave_ref="weave:///e/p/agent_turn/t", feedback_type="x"
    )
    feedback.payload.update({"score": 1})
    project("FeedbackService/CreateFeedback", feedback)
    assert not get_experiment(project, made.id).evaluations


def test_another_projects_experiment_is_not_there(project: Project) -> None:
    made = create(project)
    name = f"{project.name} other"
    other = Project(name, project.server.key(name), project.client, project.server)
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        get_experiment(other, made.id)
    answer = other(
        "TraceService/CreateTrace", create_request(featureSlug="qa", experiment={"id": made.id})
    )
    assert made.id in answer.warning
    assert isinstance(answer, trace_service_pb2.CreateTraceResponse)
