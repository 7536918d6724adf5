"""DatasetService, by its promises in proto/spanloom/v1/dataset_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict
from tests.contract.conftest import Project

COLUMNS = ["question", "answer"]


def create(project: Project, slug: str = "qa", **fields: Any) -> Any:
    fields = {"slug": slug, "columns": COLUMNS, **fields}
    return project.send("DatasetService/CreateDataset", **fields).dataset


def add(project: Project, **fields: Any) -> Any:
    return project.send("DatasetService/CreateDatasetItem", slug="qa", **fields)


def get(project: Project, slug: str = "qa") -> Any:
    return as_dict(project.send("DatasetService/GetDataset", slug=slug).dataset)


def test_create_dataset_again_keeps_its_rows_and_list_datasets_lists_it(project: Project) -> None:
    create(project, "b")
    create(project)
    add(project, values={"question": "q"})
    assert create(project, columns=["question"], name="new").name == "new"
    assert (get(project)["columns"], len(get(project)["rows"])) == (["question"], 1)
    listed = project.send("DatasetService/ListDatasets").datasets
    assert [(d.slug, d.name, list(d.columns)) for d in listed] == [
        ("b", "b", COLUMNS),
        ("qa", "new", ["question"]),
    ]


def test_create_dataset_and_create_dataset_item_name_every_bad_field(project: Project) -> None:
    bad: list[tuple[dict[str, Any], set[str]]] = [
        ({"slug": "", "columns": []}, {"slug", "columns"}),
        ({"columns": ["a", "", "a"], "name": "\0"}, {"columns[1]", "columns[2]", "name"}),
    ]
    for fields, names in bad:
        with pytest.raises(CallError) as refused:
            create(project, **fields)
        assert set(refused.value.violations) == names
    create(project)
    with pytest.raises(CallError) as refused:
        add(project)
    assert set(refused.value.violations) == {"values"}


def test_create_dataset_item_leaves_out_and_reports_values_of_other_columns(
    project: Project,
) -> None:
    create(project)
    answer = add(project, values={"question": "q", "other": "x"})
    assert dict(answer.dataset_row.values) == {"question": "q"}
    assert answer.warning == "The dataset has no column other; its value was discarded"


def test_get_dataset_gives_rows_back_as_added_and_in_order(project: Project) -> None:
    create(project, name="QA")
    rows: list[dict[str, Any]] = [
        {"values": {"question": "é\0😀", "answer": ""}, "name": "first", "idealOutput": "yes"},
        {"values": {"question": "q"}, "metadata": {"n": 1, "deep": {"a": [None, "x"]}}},
    ]
    for row in rows:
        answer = add(project, **row)
        assert as_dict(answer.dataset_row) == row
        assert not answer.HasField("warning")
    assert get(project) == {"slug": "qa", "name": "QA", "columns": COLUMNS, "rows": rows}


def test_get_dataset_does_not_find_another_projects_dataset(project: Project) -> None:
    create(project)
    other = project.neighbour()
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        get(other)


def test_delete_dataset_removes_it_with_its_rows(project: Project) -> None:
    create(project)
    add(project, values={"question": "q"})
    project.send("DatasetService/DeleteDataset", slug="qa")
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        project.send("DatasetService/DeleteDataset", slug="qa")
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        get(project)
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        add(project, values={"question": "q"})
    create(project)
    assert "rows" not in get(project)


# Datasets of datapoints


def a_datapoint(project: Project, **fields: Any) -> str:
    answer = project.send("DatapointService/CreateDatapoint", **fields)
    return str(answer.result.inserted_id)


def listed(project: Project, **fields: Any) -> list[dict[str, Any]]:
    answer = project.send("DatasetService/ListDatasets", **fields)
    assert answer.testcases == answer.datasets
    return [as_dict(dataset) for dataset in answer.datasets]


def of_points(project: Project, name: str = "n", **fields: Any) -> Any:
    return project.send("DatasetService/CreateDataset", name=name, **fields)


def test_create_dataset_without_a_slug_replaces_the_one_with_its_name(project: Project) -> None:
    points = [a_datapoint(project) for _ in range(2)]
    fields: dict[str, Any] = {"type": "evaluation", "pipeline_type": "event", "metadata": {"k": 1}}
    made = of_points(project, datapoints=points, description="d", **fields)
    assert made.result.inserted_id == made.dataset.slug == made.dataset.id
    [shown] = listed(project)
    assert {name: shown[name] for name in fields} == fields
    assert ("columns" in shown, shown["project"]) == (False, project.name)
    assert (shown["datapoints"], shown["num_points"]) == (points, 2)
    again = of_points(project)
    assert again.result.inserted_id == made.result.inserted_id
    [shown] = listed(project)
    assert (shown["datapoints"], "description" in shown) == (points, False)
    assert of_points(project, "another").result.inserted_id != made.result.inserted_id


def test_create_dataset_refuses_datapoints_that_do_not_exist(project: Project) -> None:
    point = a_datapoint(project)
    for fields, names in (
        ({"datapoints": [point, "none"]}, {"datapoints[1]"}),
        ({"datapoints": ["", "x" * 257]}, {"datapoints[0]", "datapoints[1]"}),
        ({"type": "x", "pipeline_type": "y"}, {"type", "pipeline_type"}),
        ({"name": "", "type": "x"}, {"slug", "columns", "type"}),
    ):
        with pytest.raises(CallError) as refused:
            of_points(project, **fields)
        assert set(refused.value.violations) == names
    assert listed(project) == []
    [found] = project.send("DatapointService/GetDatapoint", id=point).datapoint
    assert list(found.linked_datasets) == []


def test_list_datasets_by_id_name_and_type(project: Project) -> None:
    create(project, "rows")
    made = of_points(project, type="fine-tuning").result.inserted_id
    for fields, slugs in (
        ({}, {"rows", made}),
        ({"dataset_id": made}, {made}),
        ({"name": "n"}, {made}),
        ({"type": "fine-tuning"}, {made}),
        ({"dataset_id": made, "name": "rows"}, set()),
        ({"dataset_id": "x" * 257}, set()),
    ):
        assert {each["slug"] for each in listed(project, **fields)} == slugs


def test_update_dataset_replaces_what_it_sets(project: Project) -> None:
    first, second = (a_datapoint(project) for _ in range(2))
    made = of_points(project, datapoints=[first], description="d")
    dataset_id = made.result.inserted_id
    update = {"dataset_id": dataset_id, "name": "m", "datapoints": [second], "linked_evals": ["e"]}
    result = as_dict(project.send("DatasetService/UpdateDataset", **update).result)
    assert (result["name"], result["description"], result["linked_evals"]) == ("m", "d", ["e"])
    assert result["datapoints"] == [second]
    assert result["created_at"] == as_dict(made.dataset)["created_at"]
    [found] = project.send("DatapointService/GetDatapoint", id=first).datapoint
    assert list(found.linked_datasets) == []
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        project.send("DatasetService/UpdateDataset", dataset_id="none", name="x")


def test_add_datapoints_by_a_mapping(project: Project) -> None:
    dataset_id = of_points(project).result.inserted_id
    said = {"role": "user", "content": "hi"}
    data = [{"q": 1, "a": 2, "h": said, "x": 3}, {"q": 4, "h": [said, said]}]
    mapping = {"inputs": ["q"], "ground_truth": ["a"], "history": ["h"]}
    fields = {"dataset_id": dataset_id, "data": data, "mapping": mapping}
    ids = project.send("DatasetService/AddDatapoints", **fields).datapoint_ids
    assert listed(project)[0]["datapoints"] == list(ids)
    first, second = (
        as_dict(project.send("DatapointService/GetDatapoint", id=each).datapoint[0]) for each in ids
    )
    assert (first["inputs"], first["ground_truth"]) == ({"q": 1}, {"a": 2})
    assert (first["metadata"], first["history"]) == ({"x": 3}, [said])
    assert (second["ground_truth"], second["history"]) == ({}, [said, said])
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        project.send("DatasetService/AddDatapoints", **{**fields, "dataset_id": "none"})
    with pytest.raises(CallError) as refused:
        project.send("DatasetService/AddDatapoints", dataset_id=dataset_id)
    assert set(refused.value.violations) == {"data"}


def test_remove_datapoint_keeps_the_datapoint(project: Project) -> None:
    point = a_datapoint(project)
    dataset_id = of_points(project, datapoints=[point]).result.inserted_id
    named = {"dataset_id": dataset_id, "datapoint_id": point}
    assert project.send("DatasetService/RemoveDatapoint", **named).dereferenced is True
    assert "datapoints" not in listed(project)[0]
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        project.send("DatasetService/RemoveDatapoint", **named)
    assert project.send("DatapointService/GetDatapoint", id=point).datapoint


def test_delete_dataset_by_either_name_unlinks_its_datapoints(project: Project) -> None:
    point = a_datapoint(project)
    dataset_id = of_points(project, datapoints=[point]).result.inserted_id
    answer = project.send("DatasetService/DeleteDataset", dataset_id=dataset_id)
    assert answer.result.id == dataset_id
    [found] = project.send("DatapointService/GetDatapoint", id=point).datapoint
    assert list(found.linked_datasets) == []
