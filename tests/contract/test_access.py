"""Every RPC without a key, with a wrong key and with a key of a wrong role; a revoked key."""

from __future__ import annotations

import time

import pytest
from google.protobuf.message import Message

from spanloom.v1 import price_service_pb2, review_service_pb2, trace_service_pb2
from tests.clients import CallError, HttpClient, method_descriptor, request_class, until
from tests.contract.conftest import METHODS, Project

NAMES = (
    *("trace_id", "span_id", "event_id", "session_id", "experiment_id", "slug"),
    *("conversation_id", "review_id", "key_id", "run_id", "new_run_id", "old_run_id", "id"),
    *("price_id", "file_key", "digest", "service"),
    *("dataset_id", "datapoint_id", "metric_id", "version_name", "chart_id"),
)


def request_for(method: str) -> Message:
    """A request that names things, so that paths with variables can be built."""
    request = request_class(method_descriptor(method))()
    for field in NAMES:
        for message in (request, getattr(request, "span", None)):
            known = message.DESCRIPTOR.fields_by_name.get(field) if message is not None else None
            if known is not None and not known.is_repeated:
                setattr(message, field, "x")
    if isinstance(request, review_service_pb2.WriteReviewRequest):
        request.review.review_id = "x"
    if isinstance(request, price_service_pb2.WritePriceRequest):
        request.price.price_id = "x"
    return request


def is_unary_there(project: Project, method: str) -> bool:
    """Whether a call of the method can be one request in this transport: Envoy answers a refused
    stream of requests without a body, and RecordSpans has no path."""
    is_http = isinstance(project.client, HttpClient)
    return not (is_http and method in ("SpanService/RecordSpans", "SpanService/ImportSpans"))


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_strangers(project: Project, method: str) -> None:
    if not is_unary_there(project, method):
        return
    good = project.key
    wrong = [
        "nonsense",
        "sl_0123456789abcdef_" + "A" * 43,
        good[:-1] + ("A" if good[-1] != "A" else "B"),
    ]
    with pytest.raises(CallError) as refused:
        project(method, request_for(method), key=None)
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", "MISSING_CREDENTIALS")
    for key in wrong:
        with pytest.raises(CallError) as refused:
            project(method, request_for(method), key=key)
        assert (refused.value.code, refused.value.reason) == (
            "UNAUTHENTICATED",
            "INVALID_CREDENTIALS",
        )


@pytest.mark.parametrize("method", METHODS)
def test_no_method_answers_a_wrong_role(project: Project, method: str) -> None:
    if not is_unary_there(project, method):
        return
    enough = {"": {"ingest", "read", "review"}, "read": {"read", "review"}}
    role_of_method = METHODS[method].role
    for role in {"ingest", "read", "review"} - enough.get(role_of_method, {role_of_method}):
        with pytest.raises(CallError) as refused:
            project(method, request_for(method), key=project.server.key(project.name, role))
        assert (refused.value.code, refused.value.reason) == (
            "PERMISSION_DENIED",
            "ROLE_NOT_ALLOWED",
        )


def test_a_revoked_key_is_refused_within_a_second(project: Project) -> None:
    key = project.server.key(project.name)
    request = trace_service_pb2.ListTracesRequest()
    project("TraceService/ListTraces", request, key=key)
    key_id = key.split("_")[1]
    assert project.server.run(project.server.running.store.revoke_key(key_id, time.time_ns()))

    def refused() -> bool:
        try:
            project("TraceService/ListTraces", request, key=key)
        except CallError as error:
            return error.reason == "INVALID_CREDENTIALS"
        return False

    until(refused, 3)
