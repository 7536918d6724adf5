"""Calls every method that the client of honeyhive 1.7 has, by each of its names and also as a
coroutine. Prints what one round of calls gave, and the methods that were not called.

The client validates each answer by its own models.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from honeyhive import HoneyHive
from honeyhive import models as m

# The other names of a method.
NAMES = {
    "configurations.create": ["configurations.create_configuration"],
    "configurations.update": ["configurations.update_configuration"],
    "configurations.delete": ["configurations.delete_configuration"],
    "configurations.list": ["configurations.list_configurations"],
    "datapoints.create": ["datapoints.create_datapoint"],
    "datapoints.update": ["datapoints.update_datapoint"],
    "datapoints.delete": ["datapoints.delete_datapoint"],
    "datapoints.get": ["datapoints.get_datapoint"],
    "datapoints.list": ["datapoints.list_datapoints"],
    "datasets.create": ["datasets.create_dataset"],
    "datasets.update": ["datasets.update_dataset"],
    "datasets.delete": ["datasets.delete_dataset"],
    "datasets.list": ["datasets.list_datasets"],
    "events.create": ["events.create_event"],
    "events.update": ["events.update_event"],
    "events.export": ["events.get_events", "events.list_events"],
    "experiments.get_result": ["experiments.get_run_result"],
    "metrics.create": ["metrics.create_metric"],
    "metrics.update": ["metrics.update_metric"],
    "metrics.delete": ["metrics.delete_metric"],
    "metrics.list": ["metrics.list_metrics"],
    "sessions.start": ["sessions.start_session", "sessions.create_session"],
}
# Charts without a project are deprecated: the client wants a key of its vendor's form with one.
warnings.simplefilter("ignore", DeprecationWarning)
client = HoneyHive(api_key=os.environ["HH_API_KEY"])
Call = Callable[..., Any]
called: set[str] = set()


def caller(number: int, *, waits: bool) -> Call:
    """Calls a method by the name of this number, or by its last one."""

    def call(name: str, /, *arguments: Any, **options: Any) -> Any:
        names = [name, *NAMES.get(name, ())]
        name = names[min(number, len(names) - 1)]
        area, _, method = name.partition(".")
        methods = getattr(client, area)
        is_coroutine = waits and hasattr(methods, f"{method}_async")
        method += "_async" if is_coroutine else ""
        called.add(f"{area}.{method}")
        result = getattr(methods, method)(*arguments, **options)
        return plain(asyncio.run(result) if is_coroutine else result)

    return call


def plain(value: Any) -> Any:
    """Models as JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def catalogs(call: Call) -> dict[str, Any]:
    got: dict[str, Any] = {}
    parameters = {"call_type": "chat", "model": "m1", "hyperparameters": {"temperature": 0.5}}
    configuration = m.CreateConfigurationRequest(
        name="v0", provider="openai", parameters=parameters, env=["dev"], tags=["a"]
    )
    configuration_id = call("configurations.create", configuration)["insertedId"]
    update = m.UpdateConfigurationRequest(name="v1", env=["prod"])
    got["updated configuration"] = call("configurations.update", configuration_id, update)
    got["configurations"] = call("configurations.list")
    call("configurations.get_configuration", configuration_id)
    got["deleted configuration"] = call("configurations.delete", configuration_id)

    metric = m.CreateMetricRequest(name="length", type="PYTHON", criteria="def f(e): ...", scale=5)
    metric_id = call("metrics.create", metric)["metric_id"]
    call("metrics.update", m.UpdateMetricRequest(id=metric_id, description="how long"))
    got["metrics"] = call("metrics.list", type="PYTHON")
    got["metric"] = call("metrics.get_metric", metric_id)
    content = {"name": "length", "type": "PYTHON", "criteria": "def g(e): ..."}
    version = m.CreateMetricVersionRequest(message="better", content=content)
    got["version"] = call("metric_versions.create", metric_id, version)["data"]
    got["deployed"] = call("metric_versions.deploy", metric_id, got["version"]["name"])["data"]
    got["versions"] = call("metric_versions.list", metric_id)["data"]
    got["deployed metric"] = call("metrics.get_metric", metric_id)
    got["deleted metric"] = call("metrics.delete", metric_id)

    made = call("charts.create", m.CreateChartRequest(name="c", metric="cost", groupBy="model"))
    chart_id = made["data"]["id"]
    call("charts.update", chart_id, m.UpdateChartRequest(func="sum", dateRange={"relative": "7d"}))
    got["chart"] = call("charts.get", chart_id)["data"]
    got["charts"] = call("charts.list")["data"]
    got["deleted chart"] = call("charts.delete", chart_id)
    return got


def datasets(call: Call) -> dict[str, Any]:
    got: dict[str, Any] = {}
    point = m.CreateDatapointRequest(inputs={"q": 1}, ground_truth={"a": 2})
    [point_id] = call("datapoints.create", point)["result"]["insertedIds"]
    name = f"set {uuid.uuid4()}"
    dataset = m.CreateDatasetRequest(name=name, description="d", datapoints=[point_id])
    dataset_id = call("datasets.create", dataset)["result"]["insertedId"]
    rows = m.AddDatapointsToDatasetRequest(
        data=[{"q": n, "a": n, "other": n} for n in range(2)],
        mapping={"inputs": ["q"], "ground_truth": ["a"], "history": []},
    )
    added = call("datasets.add_datapoints", dataset_id, rows)["datapoint_ids"]
    update = m.UpdateDatasetRequest(dataset_id=dataset_id, description="e")
    got["ids"] = [point_id, *added]
    got["updated"] = call("datasets.update", update)["result"]
    got["datasets"] = call("datasets.list", name=name)["datasets"]
    call("datasets.get_dataset", dataset_id)
    got["datapoints"] = call("datapoints.list", dataset_name=name)["datapoints"]
    got["removed"] = call("datasets.remove_datapoint", dataset_id, added[0])
    got["left"] = call("datasets.list", dataset_id)["datasets"][0]["datapoints"]
    call("datapoints.update", point_id, m.UpdateDatapointRequest(metadata={"m": 1}))
    got["datapoint"] = call("datapoints.get", point_id)["datapoint"]
    call("datapoints.delete", point_id)
    got["deleted"] = call("datasets.delete", dataset_id)
    return got


def events(call: Call) -> dict[str, Any]:
    got: dict[str, Any] = {}
    run = m.PostExperimentRunRequest(name="r", metadata={"a": 1})
    first, second = (call("experiments.create_run", run)["run_id"] for _ in range(2))
    for run_id in (first, second):
        about = {"run_id": run_id, "datapoint_id": "EXT-1"}
        started = call("sessions.start", m.StartSessionRequest(session={"session_name": "s"}))
        session_id = started["session_id"]
        event = {"event_type": "model", "event_name": "call", "inputs": {"q": "?"}}
        call(
            "events.create",
            m.PostEventRequest(event={**event, "session_id": session_id, "metadata": about}),
        )
    made = call("events.create_batch", m.PostEventBatchRequest(events=[event, event]))
    call("events.update", m.UpdateEventRequest(event_id=made["event_ids"][0], metrics={"x": 1}))
    named = {"field": "session_id", "operator": "is", "value": session_id, "type": "string"}
    found = call("events.export", filters=[named])
    got["exported"] = [each["event_name"] for each in found["events"]]
    got["of session"] = len(call("events.get_by_session_id", session_id)["events"])
    call("events.list", {"filters": [], "limit": 2, "page": 1})
    call("experiments.update_run", first, m.PutExperimentRunRequest(status="completed"))
    got["run"] = call("experiments.get_run", first)["evaluation"]["status"]
    got["runs"] = len(call("experiments.list_runs", run_ids=[first, second])["evaluations"])
    call("experiments.get_result", first)
    call("experiments.compare_runs", first, second)
    got["pairs"] = call("experiments.compare_run_events", first, second, event_name="call")
    got["schema"] = call("experiments.get_schema", evaluation_id=first)["fields"]
    for run_id in (first, second):
        call("experiments.delete_run", run_id)
    return got


# The other names have no coroutines, but for those of one method.
for number in (1, 2):
    caller(number, waits=True)("events.export", limit=1)
for number, waits in ((2, False), (1, False), (0, True), (0, False)):
    call = caller(number, waits=waits)
    got = {"catalogs": catalogs(call), "datasets": datasets(call), "events": events(call)}
methods = {
    f"{area}.{name}"
    for area, methods in vars(client).items()
    if not area.startswith("_") and area != "evaluations"
    for name in dir(methods)
    if not name.startswith("_") and callable(getattr(methods, name))
}
print(json.dumps({**got, "not called": sorted(methods - called)}))
