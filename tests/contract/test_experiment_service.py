"""ExperimentService, by its promises in proto/spanloom/v1/experiment_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.v1 import trace_service_pb2
from tests.clients import CallError, until
from tests.contract.calls import create_evaluator, create_feedback, create_trace, get_trace
from tests.contract.conftest import Project


def create(project: Project, slug: str = "qa", name: str = "exp A") -> Any:
    return project.send("ExperimentService/CreateExperiment", feature_slug=slug, name=name)


def get_experiment(project: Project, experiment_id: str, **page: Any) -> Any:
    return project.send("ExperimentService/GetExperiment", experiment_id=experiment_id, **page)


def test_create_experiment_answers_flat_and_get_experiment_gives_it_back(project: Project) -> None:
    made = create(project)
    assert (made.name, made.feature_slug) == ("exp A", "qa")
    assert made.id
    assert made.HasField("created_at")
    found = get_experiment(project, made.id)
    assert (found.experiment.id, found.experiment.name) == (made.id, "exp A")
    assert found.experiment.created_at == made.created_at
    assert not found.traces
    assert not found.evaluations


def test_create_experiment_requires_feature_and_name(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        create(project, "", "")
    assert set(refused.value.violations) == {"featureSlug", "name"}


def test_list_experiments_pages_newest_first(project: Project) -> None:
    made = [create(project, "even" if n % 2 == 0 else "odd", f"e{n}").id for n in range(5)]
    seen, token = [], ""
    while True:
        page = project.send("ExperimentService/ListExperiments", page_size=2, page_token=token)
        seen += [experiment.id for experiment in page.experiments]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    listed = project.send("ExperimentService/ListExperiments", feature_slug="odd").experiments
    assert [experiment.id for experiment in listed] == [made[3], made[1]]


def test_get_experiment_does_not_find_an_unknown_experiment(project: Project) -> None:
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        get_experiment(project, "nope")


def test_get_experiment_lists_its_traces_which_are_always_sampled(project: Project) -> None:
    made = create(project)
    for n in range(3):
        answer = create_trace(
            project,
            id=f"t{n}",
            featureSlug="qa",
            experiment={"id": made.id},
            evaluationConfig={"sampleRate": 0},
            startTime=f"2026-01-0{n + 1}T00:00:00Z",
        )
        assert not answer.HasField("warning")
        assert get_trace(project, f"t{n}").sampled
    create_trace(project, id="other", featureSlug="qa")
    first = get_experiment(project, made.id, page_size=2)
    assert [trace.id for trace in first.traces] == ["t2", "t1"]
    second = get_experiment(project, made.id, page_size=2, page_token=first.next_page_token)
    assert [trace.id for trace in second.traces] == ["t0"]
    assert not second.next_page_token


def test_get_experiment_counts_results_of_evaluators_only(project: Project) -> None:
    made = create(project)
    create_trace(project, id="t", featureSlug="qa", experiment={"id": made.id})
    create_feedback(
        project,
        weave_ref="weave:///e/p/agent_turn/t",
        feedback_type="x",
        payload={"score": 1},
    )
    assert not get_experiment(project, made.id).evaluations


def test_get_experiment_shows_what_its_evaluators_found(project: Project) -> None:
    create_evaluator(project, "near", "edit_similarity")
    create_evaluator(project, "same", "exact_match")
    experiment_id = create(project).id
    for output in ("abcd", "abcx", "abxx", "xxxx"):
        create_trace(
            project,
            featureSlug="qa",
            output=output,
            idealOutput="abcd",
            experiment={"id": experiment_id},
            evaluators=[{"slug": "near"}, {"slug": "same"}],
        )
    until(lambda: len(results_of(project, experiment_id)) == 2)
    near, same = results_of(project, experiment_id)
    assert (near.evaluator, near.scored, near.mean, near.min, near.median, near.max) == (
        *("near", 4),
        *(0.5625, 0, 0.625, 1),
    )
    assert list(near.histogram) == [1, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert dict(same.labels) == {"pass": 1, "fail": 3}


def results_of(project: Project, experiment_id: str) -> list[Any]:
    found = get_experiment(project, experiment_id).evaluations
    return [summary for summary in found if summary.results == 4]


def test_get_experiment_does_not_find_another_projects_experiment(project: Project) -> None:
    made = create(project)
    other = project.neighbour()
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        get_experiment(other, made.id)
    answer = create_trace(other, featureSlug="qa", experiment={"id": made.id})
    assert made.id in answer.warning
    assert isinstance(answer, trace_service_pb2.CreateTraceResponse)


def test_create_trace_warns_of_an_experiment_that_does_not_resolve_and_keeps_it(
    project: Project,
) -> None:
    made = create(project)
    answers = {}
    for slug, experiment_id in (("other", made.id), ("qa", "unknown")):
        answer = create_trace(project, id=slug, featureSlug=slug, experiment={"id": experiment_id})
        answers[slug] = answer.warning
        assert get_trace(project, slug).experiment.id == experiment_id
    assert 'belongs to the feature "qa"' in answers["other"]
    assert 'No experiment found with the id "unknown"' in answers["qa"]
    assert not get_experiment(project, made.id).traces
