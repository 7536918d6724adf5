"""`request_id`: a repeated call stores nothing and gets the first answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import list_traces
from tests.contract.conftest import Project

ID = "8c7a1f8e-5d3f-4a8e-9b0a-0e5d1c7b2a44"


def logs(project: Project) -> int:
    return len(list_traces(project))


def experiments(project: Project) -> int:
    return len(project.send("ExperimentService/ListExperiments").experiments)


def rows(project: Project) -> int:
    return len(project.send("DatasetService/GetDataset", slug="qa").dataset.rows)


def versions(project: Project) -> int:
    prompts = project.send("PromptService/ListPrompts").prompts
    return sum(len(prompt.available_versions) for prompt in prompts)


# By method: a request, what differs in another one, and how many objects are stored.
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "TraceService/CreateLog": (
        {"slug": "no-prompt", "output": {"a": [1, None]}, "metadata": {"b": 1, "a": 2}},
        {"output": "other"},
        logs,
    ),
    "ExperimentService/CreateExperiment": (
        {"featureSlug": "f", "name": "n"},
        {"name": "other"},
        experiments,
    ),
    "DatasetService/CreateDatasetItem": (
        {"slug": "qa", "values": {"question": "q", "unknown": "u"}},
        {"values": {"question": "other"}},
        rows,
    ),
    "PromptService/CreatePrompt": (
        {"slug": "p", "text": "{{x}}", "tags": ["production"]},
        {"text": "other"},
        versions,
    ),
}


@pytest.fixture
def project(project: Project) -> Project:
    project.send("DatasetService/CreateDataset", slug="qa", columns=["question"])
    return project


@pytest.mark.parametrize("method", METHODS)
def test_a_repeat_stores_nothing_and_gets_the_first_answer(project: Project, method: str) -> None:
    request, _, count = METHODS[method]
    first = project.send(method, **request, requestId=ID)
    assert [project.send(method, **request, requestId=ID) for _ in range(2)] == [first, first]
    assert count(project) == 1
    assert project.send(method, **request, requestId="another") is not None
    assert project.send(method, **request) is not None
    assert count(project) == 3


@pytest.mark.parametrize("method", METHODS)
def test_another_request_under_the_same_id_is_refused(project: Project, method: str) -> None:
    request, other, count = METHODS[method]
    first = project.send(method, **request, requestId=ID)
    with pytest.raises(CallError) as refused:
        project.send(method, **{**request, **other}, requestId=ID)
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert set(refused.value.violations) == {"requestId"}
    assert project.send(method, **request, requestId=ID) == first
    assert count(project) == 1


@pytest.mark.parametrize("method", METHODS)
def test_an_id_that_is_too_long_is_refused(project: Project, method: str) -> None:
    request, _, count = METHODS[method]
    for wrong in ("x" * 129, "\0"):
        with pytest.raises(CallError) as refused:
            project.send(method, **request, requestId=wrong)
        assert refused.value.code == "INVALID_ARGUMENT"
        assert set(refused.value.violations) == {"requestId"}
    assert project.send(method, **request, requestId="é" * 128) is not None
    assert count(project) == 1


def test_an_id_is_that_of_one_project_and_one_method(project: Project) -> None:
    neighbour = project.neighbour()
    neighbour.send("DatasetService/CreateDataset", slug="qa", columns=["question"])
    for method, (request, _, count) in METHODS.items():
        for each in (project, neighbour):
            each.send(method, **request, requestId=ID)
            assert count(each) == 1


def test_a_call_that_fails_leaves_its_id_free(project: Project) -> None:
    item = {"slug": "later", "values": {"a": "1"}, "requestId": ID}
    with pytest.raises(CallError) as refused:
        project.send("DatasetService/CreateDatasetItem", **item)
    assert refused.value.code == "NOT_FOUND"
    project.send("DatasetService/CreateDataset", slug="later", columns=["a"])
    first = project.send("DatasetService/CreateDatasetItem", **item)
    project.send("DatasetService/CreateDataset", slug="later", columns=["b"])
    assert project.send("DatasetService/CreateDatasetItem", **item) == first


def test_what_a_deleted_dataset_had_is_not_kept_for_repeats(project: Project) -> None:
    item = {"slug": "qa", "values": {"question": "secret"}, "requestId": ID}
    project.send("DatasetService/CreateDatasetItem", **item)
    project.send("DatasetService/DeleteDataset", slug="qa")
    with pytest.raises(CallError) as refused:
        project.send("DatasetService/CreateDatasetItem", **item)
    assert refused.value.reason == "DATASET_NOT_FOUND"
    project.send("DatasetService/CreateDataset", slug="qa", columns=["question"])
    project.send("DatasetService/CreateDatasetItem", **item)
    assert rows(project) == 1
