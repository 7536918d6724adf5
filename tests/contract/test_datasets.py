"""DatasetService, by its promises in proto/spanloom/v1/dataset_service.proto."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.v1 import dataset_service_pb2
from tests.clients import CallError
from tests.contract.conftest import Project

COLUMNS = ["question", "answer"]


def create(project: Project, slug: str = "qa", **fields: Any) -> Any:
    request = dataset_service_pb2.CreateDatasetRequest(slug=slug, **{"columns": COLUMNS, **fields})
    return project("DatasetService/CreateDataset", request).dataset


def add(project: Project, **fields: Any) -> Any:
    request = json_format.ParseDict(
        {"slug": "qa", **fields}, dataset_service_pb2.CreateDatasetItemRequest()
    )
    return project("DatasetService/CreateDatasetItem", request)


def get(project: Project, slug: str = "qa") -> Any:
    request = dataset_service_pb2.GetDatasetRequest(slug=slug)
    return json_format.MessageToDict(project("DatasetService/GetDataset", request).dataset)


def test_rows_are_given_back_as_added_and_in_order(project: Project) -> None:
    create(project, name="QA")
    rows: list[dict[str, Any]] = [
        {"values": {"question": "é\0😀", "answer": ""}, "name": "first", "idealOutput": "yes"},
        {"values": {"question": "q"}, "metadata": {"n": 1, "deep": {"a": [None, "x"]}}},
    ]
    for row in rows:
        answer = add(project, **row)
        assert json_format.MessageToDict(answer.dataset_row) == row
        assert not answer.HasField("warning")
    assert get(project) == {"slug": "qa", "name": "QA", "columns": COLUMNS, "rows": rows}


def test_values_of_other_columns_are_left_out_and_told(project: Project) -> None:
    create(project)
    answer = add(project, values={"question": "q", "other": "x"})
    assert dict(answer.dataset_row.values) == {"question": "q"}
    assert answer.warning == "The dataset has no column other; left out"


def test_a_dataset_made_again_keeps_its_rows(project: Project) -> None:
    create(project, "b")
    create(project)
    add(project, values={"question": "q"})
    assert create(project, columns=["question"], name="new").name == "new"
    assert (get(project)["columns"], len(get(project)["rows"])) == (["question"], 1)
    listing = dataset_service_pb2.ListDatasetsRequest()
    listed = project("DatasetService/ListDatasets", listing).datasets
    assert [(d.slug, d.name, list(d.columns)) for d in listed] == [
        ("b", "b", COLUMNS),
        ("qa", "new", ["question"]),
    ]


def test_a_removed_dataset_is_gone_with_its_rows(project: Project) -> None:
    create(project)
    add(project, values={"question": "q"})
    request = dataset_service_pb2.DeleteDatasetRequest(slug="qa")
    project("DatasetService/DeleteDataset", request)
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        project("DatasetService/DeleteDataset", request)
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        get(project)
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        add(project, values={"question": "q"})
    create(project)
    assert "rows" not in get(project)


def test_every_bad_field_is_named(project: Project) -> None:
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


def test_another_projects_dataset_is_not_there(project: Project) -> None:
    create(project)
    name = f"{project.name} other"
    other = Project(name, project.server.key(name), project.client, project.server)
    with pytest.raises(CallError, match="DATASET_NOT_FOUND"):
        get(other)
