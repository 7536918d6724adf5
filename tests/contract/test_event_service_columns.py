"""What columns hold is part of an event, whatever adapter the span came by: config (model,
provider), metadata (tokens, cost)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.contract.calls import as_dict, create_events, create_trace, get_event, update_event
from tests.contract.conftest import Project
from tests.ingest.otlp import requests as otlp

COLUMNS: dict[str, dict[str, Any]] = {
    "config": {"model": "gpt-4o", "provider": "openai"},
    "metadata": {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 3,
        "total_tokens": 1_000_003,
        "cost": 0.25,
    },
}


def by_otlp(project: Project) -> str:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "OpenAI",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cost": 0.25,
    }
    answer = httpx.post(
        f"http://{project.server.running.http_address}/v1/traces",
        content=otlp.request_of(otlp.span_message("chat gpt-4o", attributes)).SerializeToString(),
        headers={
            "authorization": f"Bearer {project.key}",
            "content-type": "application/x-protobuf",
        },
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return otlp.SPAN_ID.hex()


def by_basalt(project: Project) -> str:
    log = {
        "id": "gen",
        "type": "generation",
        "inputTokens": 1_000_000,
        "outputTokens": 3,
        "cost": 0.25,
    }
    create_trace(project, id="t", logs=[log])
    return "gen"


def by_honeyhive(project: Project) -> str:
    """Tokens and cost without their total, and the model in the metadata alone."""
    metadata = {
        "model": "gpt-4o",
        "prompt_tokens": 1_000_000,
        "completion_tokens": 3,
        "cost": 0.25,
    }
    create_events(
        project,
        {
            "event_id": "e",
            "event_type": "model",
            "config": {"provider": "openai"},
            "metadata": metadata,
        },
    )
    return "e"


ADAPTERS = {"otlp": by_otlp, "basalt": by_basalt, "honeyhive": by_honeyhive}
# Basalt's logs have no model.
WITH_MODEL = ("otlp", "honeyhive")


def found(project: Project, field: str, value: Any, operator: str = "is") -> list[str]:
    condition = {"field": field, "operator": operator, "value": value}
    answer = project.send("EventService/ExportEvents", filters=[condition])
    return [event.event_id for event in answer.events if event.event_type != "session"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_events_of_every_adapter_have_their_columns(project: Project, adapter: str) -> None:
    event_id = ADAPTERS[adapter](project)
    event = get_event(project, event_id)
    metadata = dict(event["metadata"])
    if adapter == "honeyhive":
        assert metadata.pop("model") == "gpt-4o"
    assert metadata == COLUMNS["metadata"]
    assert event.get("config") == (COLUMNS["config"] if adapter in WITH_MODEL else None)
    (exported,) = (
        as_dict(e)
        for e in project.send("EventService/ExportEvents").events
        if e.event_id == event_id
    )
    assert exported == event


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_filters_find_what_columns_hold(project: Project, adapter: str) -> None:
    event_id = ADAPTERS[adapter](project)
    for key, value in COLUMNS["metadata"].items():
        assert found(project, f"metadata.{key}", value) == [event_id]
        assert found(project, f"metadata.{key}", value - 0.125, "greater than") == [event_id]
        assert found(project, f"metadata.{key}", value, "less than") == []
        assert found(project, f"metadata.{key}", None, "exists") == [event_id]
    assert found(project, "metadata", None, "exists") == [event_id]
    names = [event_id] if adapter in WITH_MODEL else []
    assert found(project, "config.model", "gpt-4o") == names
    assert found(project, "config.model", "4o", "contains") == names
    assert found(project, "config.model", "gpt-4") == []
    assert found(project, "config.provider", "openai") == names
    assert found(project, "config", None, "exists") == names
    others = found(project, "config.model", "gpt-4o", "is not")
    assert (event_id in others) == (adapter not in WITH_MODEL)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_charts_sum_what_columns_hold(project: Project, adapter: str) -> None:
    ADAPTERS[adapter](project)
    for key, value in COLUMNS["metadata"].items():
        answer = project.send(
            "EventService/GetEventsChart",
            metric=f"metadata.{key}",
            aggregation="sum",
            group_by="config.model",
            filters=json.dumps({"field": "event_type", "operator": "is", "value": "model"}),
        )
        (point,) = answer.events
        assert point.value == value
        assert point.group == ("gpt-4o" if adapter in WITH_MODEL else "")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_projections_and_the_schema_know_them(project: Project, adapter: str) -> None:
    event_id = ADAPTERS[adapter](project)
    answer = project.send(
        "EventService/ExportEvents",
        projections=["metadata.total_tokens", "config.provider"],
        filters=[{"field": "event_type", "operator": "is", "value": "model"}],
    )
    (event,) = answer.events
    assert event.event_id == event_id
    assert as_dict(event.metadata) == {"total_tokens": 1_000_003}
    provider = {"provider": "openai"} if adapter in WITH_MODEL else {}
    assert as_dict(event.config) == provider
    schema = project.send("EventService/GetEventsSchema")
    fields = {f.name for f in schema.fields if f.event_type == "model"}
    assert {f"metadata.{key}" for key in COLUMNS["metadata"]} <= fields
    assert ("config.model" in fields) == (adapter in WITH_MODEL)


def test_what_a_client_sent_itself_goes_before_the_columns(project: Project) -> None:
    sent = {"model": "mine", "provider": "OpenAI", "temperature": 0.5}
    metadata = {"cost": "a lot", "prompt_tokens": -1, "total_tokens": 7}
    create_events(
        project, {"event_id": "e", "event_type": "model", "config": sent, "metadata": metadata}
    )
    event = get_event(project, "e")
    assert (event["config"], event["metadata"]) == (sent, metadata)
    assert found(project, "config.provider", "OpenAI") == ["e"]
    assert found(project, "config.provider", "openai") == []
    assert found(project, "metadata.cost", "a lot") == ["e"]
    assert found(project, "metadata.prompt_tokens", -1) == ["e"]
    assert found(project, "metadata.total_tokens", 7) == ["e"]


def test_an_update_of_an_otlp_span_changes_what_is_shown_and_found(project: Project) -> None:
    event_id = by_otlp(project)
    update_event(
        project,
        event_id,
        config={"model": "gpt-5"},
        metadata={"cost": 2, "prompt_tokens": None},
    )
    event = get_event(project, event_id)
    assert event["config"] == {"model": "gpt-5", "provider": "openai"}
    assert event["metadata"] == {"completion_tokens": 3, "total_tokens": 3, "cost": 2}
    assert found(project, "config.model", "gpt-5") == [event_id]
    assert found(project, "config.model", "gpt-4o") == []
    assert found(project, "metadata.cost", 1, "greater than") == [event_id]
    assert found(project, "metadata.prompt_tokens", None, "not exists") == [event_id]
