"""Datapoints: examples with which an application is tried."""

from __future__ import annotations

from collections.abc import Set

from google.protobuf import json_format

from spanloom.adapters.honeyhive.runs import UPDATED
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model import Record
from spanloom.v1 import datapoint_service_pb2 as pb


def datapoint_message(record: Record) -> pb.Datapoint:
    """A datapoint as it is shown. Clients require its objects, also empty ones."""
    body = record.body
    datapoint = pb.Datapoint()
    json_format.ParseDict({k: v for k, v in body.items() if k != UPDATED}, datapoint)
    for name in ("inputs", "ground_truth", "metadata"):
        getattr(datapoint, name).SetInParent()
    datapoint.linked_event = datapoint.linked_event
    datapoint.id = datapoint.mongo_id = record.id
    datapoint.created_at.CopyFrom(timestamp_from_ns(record.created_ns))
    datapoint.updated_at.CopyFrom(timestamp_from_ns(body.get(UPDATED, record.created_ns)))
    return datapoint


def is_asked(record: Record, ids: Set[str], datasets: Set[str]) -> bool:
    """Whether a datapoint is one of these, and linked to one of the datasets; empty means any."""
    linked = record.body.get("linked_datasets", ())
    return (not ids or record.id in ids) and (not datasets or not datasets.isdisjoint(linked))
