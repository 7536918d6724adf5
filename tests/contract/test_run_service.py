"""RunService, by its promises in proto/spanloom/v1/run_service.proto."""

from __future__ import annotations

import math
from typing import Any

import pytest

from spanloom.v1 import run_service_pb2
from tests.clients import CallError
from tests.contract.calls import as_dict, create_events, start_session
from tests.contract.conftest import Project


def call(project: Project, method: str, **fields: Any) -> Any:
    return project.send(f"RunService/{method}", **fields)


def a_run(project: Project, run_id: str, *scores: float, **fields: Any) -> Any:
    """A run with a session for each score, on the examples d0, d1 and so on."""
    answer = call(project, "CreateRun", run_id=run_id, **fields)
    for n, score in enumerate(scores):
        session_id = f"{run_id}-{n}"
        metadata = {"run_id": run_id, "datapoint_id": f"d{n}"}
        start_session(project, session_id=session_id, session_name="try", metadata=metadata)
        event = {"event_id": f"{session_id}-e", "session_id": session_id, "event_name": "answer"}
        create_events(project, {**event, "metrics": {"score": score, "ok": score > 0.5}})
    return answer


def test_create_run_answers_what_clients_require(project: Project) -> None:
    answer = call(project, "CreateRun", name="n", event_ids=["a"], configuration={"k": 1})
    run = answer.evaluation
    assert (run.id, run.run_id, run.name) == (answer.run_id, answer.run_id, "n")
    assert (run.status, list(run.event_ids), as_dict(run.configuration)) == (
        "pending",
        ["a"],
        {"k": 1},
    )
    for name in ("metadata", "results", "passing_ranges", "created_at", "updated_at"):
        assert run.HasField(name)
    assert (run.is_active, run.scope_type, run.scope_id) == (True, "project", project.name)


def test_create_run_again_replaces_it_and_keeps_its_time(project: Project) -> None:
    first = call(project, "CreateRun", run_id="r", name="first").evaluation
    again = call(project, "CreateRun", run_id="r", status="completed").evaluation
    assert again.created_at == first.created_at
    assert (again.name, again.status) == ("", "completed")


def test_create_run_and_update_run_name_bad_fields(project: Project) -> None:
    with pytest.raises(CallError) as refused:
        call(project, "CreateRun", run_id="x" * 257)
    assert set(refused.value.violations) == {"run_id"}
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        call(project, "UpdateRun", run_id="none")


def test_create_run_keeps_what_is_no_number_as_text(project: Project) -> None:
    """A message can hold it, and JSON cannot."""
    request = run_service_pb2.CreateRunRequest(run_id="r")
    request.metadata["score"] = math.nan
    project.direct()("RunService/CreateRun", request)
    found = call(project, "GetRun", run_id="r").evaluation
    assert as_dict(found.metadata) == {"score": "NaN"}


def test_list_runs_by_conditions_and_pages(project: Project) -> None:
    for n in range(5):
        status = "completed" if n % 2 else "pending"
        named = {"name": f"run {n}", "dataset_id": f"d{n}"}
        call(project, "CreateRun", run_id=f"r{n}", status=status, **named)
    page = call(project, "ListRuns", limit=2, page=2)
    assert [run.run_id for run in page.evaluations] == ["r2", "r1"]
    told = page.pagination
    assert (told.total, told.total_pages, told.has_next, told.has_prev) == (5, 3, True, True)
    asked: list[tuple[dict[str, Any], list[str]]] = [
        ({"status": "completed"}, ["r3", "r1"]),
        ({"name": "run 4"}, ["r4"]),
        ({"dataset_id": "d0"}, ["r0"]),
        ({"run_ids": ["r1", "r2"]}, ["r2", "r1"]),
    ]
    for fields, ids in asked:
        assert [run.run_id for run in call(project, "ListRuns", **fields).evaluations] == ids


def test_get_run_does_not_find_what_was_never_created(project: Project) -> None:
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        call(project, "GetRun", run_id="none")


def test_update_run_merges_objects_and_keeps_the_rest(project: Project) -> None:
    call(project, "CreateRun", run_id="r", name="n", metadata={"a": 1}, event_ids=["x"])
    call(project, "UpdateRun", run_id="r", metadata={"b": 2}, status="completed")
    run = call(project, "GetRun", run_id="r").evaluation
    assert as_dict(run.metadata) == {"a": 1, "b": 2}
    assert (run.name, run.status, list(run.event_ids)) == ("n", "completed", ["x"])


def test_delete_run_keeps_its_sessions(project: Project) -> None:
    a_run(project, "r", 1)
    assert call(project, "DeleteRun", run_id="r").id == "r"
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        call(project, "DeleteRun", run_id="r")
    assert project.send("SessionService/GetSession", session_id="r-0").event_id == "r-0"


def test_get_run_result_sums_up_the_metrics(project: Project) -> None:
    a_run(project, "r", 0.25, 0.75, passing_ranges={"score": {"min": 0.5}})
    result = call(project, "GetRunResult", run_id="r")
    assert (result.status, result.success) == ("pending", False)
    assert (list(result.passed), list(result.failed)) == (["d1"], ["d0"])
    ok, score = result.metrics.details
    assert (ok.metric_name, ok.metric_type, ok.aggregate) == ("ok", "boolean", 0.5)
    assert (score.event_name, score.event_type, score.aggregate) == ("answer", "tool", 0.5)
    assert list(score.values) == [0.25, 0.75]
    assert (list(score.datapoints.passed), list(score.datapoints.failed)) == (["d1"], ["d0"])
    assert [(d.datapoint_id, d.session_id, d.passed) for d in result.datapoints] == [
        ("d0", "r-0", False),
        ("d1", "r-1", True),
    ]
    assert [kind.event_name for kind in result.event_details] == ["answer", "try"]
    highest = call(project, "GetRunResult", run_id="r", aggregate_function="max")
    assert highest.metrics.details[1].aggregate == 0.75
    with pytest.raises(CallError) as refused:
        call(project, "GetRunResult", run_id="r", aggregate_function="mode")
    assert set(refused.value.violations) == {"aggregate_function"}


def test_get_run_result_reads_the_sessions_that_the_run_names(project: Project) -> None:
    create_events(project, {"event_id": "e", "session_id": "s", "metrics": {"m": 2}})
    call(project, "CreateRun", run_id="r", session_ids=["s", "unknown"])
    [metric] = call(project, "GetRunResult", run_id="r").metrics.details
    assert (metric.metric_name, metric.aggregate) == ("m", 2)


def test_compare_runs_tells_what_is_better(project: Project) -> None:
    a_run(project, "old", 0.25, 0.5, 0.75)
    a_run(project, "new", 0.5, 0.5)
    compared = call(project, "CompareRuns", new_run_id="new", old_run_id="old")
    score = next(metric for metric in compared.metrics if metric.metric_name == "score")
    assert (score.old_aggregate, score.new_aggregate, score.difference) == (0.5, 0.5, 0)
    assert (list(score.improved), list(score.same)) == (["d0"], ["d1"])
    assert score.found_count == 2
    assert list(compared.common_datapoints) == ["d0", "d1"]
    assert {kind.presence for kind in compared.event_details} == {"both"}
    assert (compared.old_run.run_id, compared.new_run.run_id) == ("old", "new")


def test_compare_run_events_pairs_them_by_datapoint_name_and_type(project: Project) -> None:
    a_run(project, "old", 0.25, 0.5, 0.75)
    a_run(project, "new", 0.5, 0.5)
    both = {"run_id_1": "new", "run_id_2": "old"}
    compared = call(project, "CompareRunEvents", **both)
    assert compared.total_events == 4
    for pair in compared.events:
        assert pair.event_1.session_id == f"new-{pair.datapoint_id[1:]}"
        assert pair.event_2.session_id == f"old-{pair.datapoint_id[1:]}"
        assert pair.event_1.event_name == pair.event_2.event_name
    for fields in ({"event_name": "answer"}, {"event_type": "tool"}):
        [one] = call(project, "CompareRunEvents", **both, **fields, limit=1, page=2).events
        assert (one.datapoint_id, one.event_1.event_id) == ("d1", "new-1-e")
    with pytest.raises(CallError, match="EXPERIMENT_NOT_FOUND"):
        call(project, "CompareRunEvents", run_id_1="new", run_id_2="none")
    with pytest.raises(CallError) as refused:
        call(project, "CompareRunEvents", **both, page=-1)
    assert set(refused.value.violations) == {"page"}
