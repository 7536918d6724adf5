"""What a request's descriptor calls required is refused where it is missing."""

from __future__ import annotations

from typing import Any

import pytest
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior

from tests.clients import CallError, method_descriptor
from tests.contract.conftest import Project, request_of
from tests.contract.test_projects import METHODS, OF_KEYS, request_to, requests


def required_fields(method: str) -> list[str]:
    fields = method_descriptor(method).input_type.fields
    return [
        f.name
        for f in fields
        if FieldBehavior.REQUIRED in f.GetOptions().Extensions[field_behavior]
    ]


def code_without(project: Project, method: str, fields: dict[str, Any], name: str) -> str:
    request = request_of(method, request_to(project, fields))
    request.ClearField(name)
    try:
        project(method, request)
    except CallError as refused:
        return refused.code
    return "OK"


def test_required_fields_are_required(project: Project) -> None:
    asked = requests(project.name)
    project = project.direct()  # over REST, a path without its id is another path
    accepted = {
        f"{method}.{name}": code
        for method in METHODS
        if method not in OF_KEYS
        for name in required_fields(method)
        if (code := code_without(project, method, asked[method], name)) != "INVALID_ARGUMENT"
    }
    assert accepted == {}


def test_a_metric_names_its_value(project: Project) -> None:
    with pytest.raises(CallError, match="json_path"):
        project.send(
            "FeedbackService/GetFeedbackStats",
            project_id=project.name,
            start="2026-01-01T00:00:00Z",
            metrics=[{"value_type": "numeric"}],
        )
