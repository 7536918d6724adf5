"""DatapointService, by its promises in proto/spanloom/v1/datapoint_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict
from tests.contract.conftest import Project


def call(project: Project, method: str, **fields: Any) -> Any:
    return project.send(f"DatapointService/{method}", **fields)


def a_datapoint(project: Project, **fields: Any) -> str:
    return str(call(project, "CreateDatapoint", **fields).result.inserted_id)


def test_create_datapoint_answers_with_its_id_in_both_shapes(project: Project) -> None:
    answer = call(project, "CreateDatapoint", inputs={"q": "?"})
    assert answer.inserted is True
    assert list(answer.result.inserted_ids) == [answer.result.inserted_id]
    for n in (1, 2):
        assert a_datapoint(project, id="mine", inputs={"n": n}) == "mine"
    [found] = call(project, "GetDatapoint", id="mine").datapoint
    assert as_dict(found.inputs) == {"n": 2}


def test_list_datapoints_by_ids_and_datasets(project: Project) -> None:
    ids = [a_datapoint(project, inputs={"n": n}, linked_datasets=[f"d{n % 2}"]) for n in range(4)]
    assert [each.id for each in call(project, "ListDatapoints").datapoints] == ids[::-1]
    for fields, expected in (
        ({"datapoint_ids": ids[:1]}, ids[:1]),
        ({"dataset_id": "d1"}, [ids[3], ids[1]]),
        ({"dataset_name": "d0"}, [ids[2], ids[0]]),
        ({"dataset_id": "none"}, []),
    ):
        found = call(project, "ListDatapoints", **fields).datapoints
        assert [each.id for each in found] == expected, fields


def test_get_datapoint_gives_what_was_sent(project: Project) -> None:
    fields = {
        "inputs": {"q": [1, {"a": None}]},
        "history": [{"role": "user", "content": "hi"}],
        "ground_truth": {"a": "!"},
        "metadata": {"k": 1.5},
        "linked_event": "e",
        "linked_datasets": ["d"],
    }
    datapoint_id = a_datapoint(project, **fields)
    [found] = call(project, "GetDatapoint", id=datapoint_id).datapoint
    shown = as_dict(found)
    assert {name: shown[name] for name in fields} == fields
    assert shown["_id"] == shown["id"] == datapoint_id
    [bare] = call(project, "GetDatapoint", id=a_datapoint(project)).datapoint
    for name in ("inputs", "ground_truth", "metadata", "linked_event", "created_at"):
        assert bare.HasField(name)
    for datapoint_id in ("none", "x" * 257):
        with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
            call(project, "GetDatapoint", id=datapoint_id)


def test_update_datapoint_replaces_what_it_sets(project: Project) -> None:
    datapoint_id = a_datapoint(project, inputs={"q": 1}, ground_truth={"a": 1})
    answer = call(project, "UpdateDatapoint", id=datapoint_id, inputs={"r": 2})
    assert (answer.updated, answer.result.modified_count) == (True, 1)
    [found] = call(project, "GetDatapoint", id=datapoint_id).datapoint
    assert (as_dict(found.inputs), as_dict(found.ground_truth)) == ({"r": 2}, {"a": 1})
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        call(project, "UpdateDatapoint", id="none")


def test_delete_datapoint_removes_it(project: Project) -> None:
    datapoint_id = a_datapoint(project)
    assert call(project, "DeleteDatapoint", id=datapoint_id).deleted is True
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        call(project, "DeleteDatapoint", id=datapoint_id)


def test_batch_create_datapoints_of_events(project: Project) -> None:
    for n in range(2):
        event = {"event_id": f"e{n}", "event_type": "tool", "start_time": 1_700_000_000_000 + n}
        about = {"inputs": {"q": n, "chat": [{"role": "user"}]}, "outputs": {"a": n}}
        project.send("EventService/CreateEvent", event={**event, **about})
    project.send("DatasetService/CreateDataset", name="d")
    [dataset] = project.send("DatasetService/ListDatasets").datasets
    mapping = {
        "inputs": ["inputs.q", "inputs.none"],
        "ground_truth": ["outputs.a"],
        "history": ["inputs.chat"],
    }
    made = call(project, "BatchCreateDatapoints", events=["e0", "e1"], mapping=mapping)
    later = {"field": "inputs.q", "operator": "greater than", "value": 0}
    selected = {"select_all": True, "filters": [later], "dataset_id": dataset.slug}
    [whole] = call(project, "BatchCreateDatapoints", **selected).inserted_ids
    found = [
        as_dict(call(project, "GetDatapoint", id=each).datapoint[0])
        for each in (*made.inserted_ids, whole)
    ]
    assert [each["linked_event"] for each in found] == ["e0", "e1", "e1"]
    assert (found[1]["inputs"], found[1]["ground_truth"]) == ({"q": 1}, {"a": 1})
    assert found[0]["history"] == [{"role": "user"}]
    assert (found[2]["inputs"]["q"], found[2]["ground_truth"]) == (1, {"a": 1})
    assert found[2]["linked_datasets"] == [dataset.slug]


def test_batch_create_datapoints_stores_all_or_none(project: Project) -> None:
    project.send("EventService/CreateEvent", event={"event_id": "e", "event_type": "tool"})
    for fields, reason in (
        ({"events": ["e", "none"]}, "EVENT_NOT_FOUND"),
        ({"events": ["e"], "dataset_id": "none"}, "DATASET_NOT_FOUND"),
        ({}, "INVALID_FIELD"),
        ({"events": ["e"], "select_all": True}, "INVALID_FIELD"),
        ({"events": ["e"] * 1001}, "INVALID_FIELD"),
    ):
        with pytest.raises(CallError, match=reason):
            call(project, "BatchCreateDatapoints", **fields)
    assert not call(project, "ListDatapoints").datapoints
