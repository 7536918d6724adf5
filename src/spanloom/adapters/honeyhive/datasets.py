"""Datasets in HoneyHive's shape, and datapoints that are made of objects by a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from google.protobuf import json_format

from spanloom.codec.struct_reader import struct_object
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import Dataset, Json
from spanloom.model.checks import Violations
from spanloom.v1 import dataset_pb2, dataset_service_pb2

MOST_POINTS: Final = 10_000
_DETAILS: Final = ("description", "type", "pipeline_type", "linked_evals", "saved", "metadata")
_WORDS: Final = {"type": ("evaluation", "fine-tuning"), "pipeline_type": ("event", "session")}
_OUTPUT: Final = "ground_truth"

DatasetRequest = dataset_service_pb2.CreateDatasetRequest | dataset_service_pb2.UpdateDatasetRequest


def details_of(request: DatasetRequest) -> dict[str, Json]:
    """What a request says of a dataset beside its name and columns."""
    fields: dict[str, Json] = {
        field.name: value for field, value in request.ListFields() if field.name in _DETAILS
    }
    if "linked_evals" in fields:
        fields["linked_evals"] = list(request.linked_evals)
    if "metadata" in fields:
        fields["metadata"] = struct_object(request.metadata)
    return fields


def check_details(request: DatasetRequest, details: Mapping[str, Json], bad: Violations) -> None:
    """Add what is wrong with the fields that `details_of` reads, and with the datapoints."""
    bad.check_text("name", request.name)
    for name, words in _WORDS.items():
        if name in details:
            bad.check_word(name, details[name], words)
    if len(request.datapoints) > MOST_POINTS:
        bad.add("datapoints", f"must have at most {MOST_POINTS} elements")
        return
    for index, point in enumerate(request.datapoints):
        bad.check_id(f"datapoints[{index}]", point)


def summary(project: str, dataset: Dataset, points: Sequence[str]) -> dataset_pb2.DatasetSummary:
    """A dataset without its rows."""
    message = dataset_pb2.DatasetSummary(
        slug=dataset.slug,
        name=dataset.name,
        columns=dataset.columns,
        id=dataset.slug,
        datapoints=points,
        num_points=len(points),
        project=project,
    )
    json_format.ParseDict(dict(dataset.details), message)
    if dataset.created_ns:
        message.created_at.CopyFrom(timestamp_from_ns(dataset.created_ns))
        message.updated_at.CopyFrom(timestamp_from_ns(dataset.updated_ns))
    return message


def mapped(data: Mapping[str, Json], mapping: dataset_pb2.DatapointMapping) -> dict[str, Json]:
    """The datapoint that an object is: what no list of the mapping names is metadata."""
    named = {*mapping.inputs, *mapping.history, *mapping.ground_truth}
    point: dict[str, Json] = {
        "inputs": {key: data[key] for key in mapping.inputs if key in data},
        _OUTPUT: {key: data[key] for key in mapping.ground_truth if key in data},
        "metadata": {key: value for key, value in data.items() if key not in named},
    }
    if history := _messages(data[key] for key in mapping.history if key in data):
        point["history"] = history
    return point


def of_event(
    event: Mapping[str, Json], mapping: dataset_pb2.DatapointMapping | None
) -> dict[str, Json]:
    """The datapoint that an event is; the paths of the mapping begin at the event."""
    point: dict[str, Json] = {"linked_event": event["event_id"]}
    if mapping is None:
        point["inputs"] = event.get("inputs", {})
        point[_OUTPUT] = event.get("outputs", {})
        return point
    point["inputs"] = _at_paths(event, mapping.inputs)
    point[_OUTPUT] = _at_paths(event, mapping.ground_truth)
    if history := _messages(_at_paths(event, mapping.history).values()):
        point["history"] = history
    return point


def _at_paths(event: Mapping[str, Json], paths: Iterable[str]) -> dict[str, Json]:
    """The values at dotted paths, by the paths' last keys; a path that leads nowhere is left
    out."""
    found = {}
    for path in paths:
        value: Json = event
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[path.rpartition(".")[2]] = value
    return found


def _messages(values: Iterable[Json]) -> list[Json]:
    """All messages of values that are one each, or lists of them."""
    listed = (value if isinstance(value, list) else [value] for value in values)
    return [item for each in listed for item in each if isinstance(item, dict)]
