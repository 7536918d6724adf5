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
