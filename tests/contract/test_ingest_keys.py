"""A key of the role ingest learns nothing of what is stored, and changes only what the same API
wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.calls import as_dict
from tests.contract.conftest import Project
from tests.contract.test_projects import METHODS, SECRET, fill, outcome, requests
from tests.otlp.requests import TRACE_ID
from tests.otlp.requests import request as otlp_request

OTLP = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
INGEST = [name for name, method in METHODS.items() if method.role == "ingest"]


def with_role(project: Project, role: str) -> Project:
    return replace(project, key=project.server.key(project.name, role))


def stored(project: Project) -> dict[Any, bytes]:
    """All spans and reviews, by their ids."""
    spans = project.send("SpanService/ListSpans", pageSize=1000).spans
    reviews = project.send("ReviewService/ListReviews", pageSize=1000).reviews
    return {
        **{(span.trace_id, span.span_id): span.SerializeToString() for span in spans},
        **{review.review_id: review.SerializeToString() for review in reviews},
    }


@pytest.mark.parametrize("method", INGEST)
def test_no_answer_to_an_ingest_key_shows_what_was_stored(project: Project, method: str) -> None:
    admin = project.direct()
    experiment_id = fill(admin, project.name, SECRET)
    fields = requests(project.name, experiment_id, "x")[method]
    if method == "TraceService/CreateTrace":
        fields["trace"]["featureSlug"] = "another"
    code, said = outcome(with_role(project, "ingest"), method, fields)
    assert code == "OK", said
    assert SECRET.encode() not in said
    assert b'"qa"' not in said  # the feature of the experiment


def attacks(name: str, trace_id: str, span_id: str) -> dict[str, list[dict[str, Any]]]:
    """Requests of every ingesting method that name a span, its trace, or a review."""
    event = {"event_id": span_id, "event_type": "tool"}
    there, elsewhere = {**event, "session_id": trace_id}, {**event, "session_id": "elsewhere"}
    model = [{k: v for k, v in e.items() if k != "event_type"} for e in (there, elsewhere)]
    span = {"traceId": trace_id, "spanId": span_id, "kind": "SPAN_KIND_TOOL", "name": "x"}
    feedback = {"project_id": name, "weave_ref": f"weave:///e/{name}/agent_turn/{trace_id}"}
    return {
        "FileService/GenerateUploadUrl": [{"file_name": span_id, "content_type": "image/png"}],
        "TraceService/CreateTrace": [{"trace": {"id": trace_id}}],
        "EventService/CreateEvent": [{"event": there}, {"event": elsewhere}],
        "EventService/CreateEventBatch": [{"events": [there]}, {"events": [elsewhere]}],
        "EventService/CreateModelEvent": [{"model_event": each} for each in model],
        "EventService/CreateModelEventBatch": [{"model_events": [each]} for each in model],
        "EventService/UpdateEvent": [{"event_id": span_id, "outputs": {"a": "x"}}],
        "SessionService/StartSession": [
            {"session": {"session_id": span_id, "metadata": {"a": "x"}}},
            {"session_id": trace_id, "metadata": {"a": "x"}},
        ],
        "SessionService/AddSessionTraces": [
            {"session_id": session, "events": [event]} for session in (trace_id, "elsewhere")
        ],
        "SpanService/WriteSpans": [{"spans": [span]}],
        "SpanService/UpdateSpan": [{"span": {"traceId": trace_id, "spanId": span_id, "name": "x"}}],
        "FeedbackService/CreateFeedback": [{**feedback, "id": "r", "feedback_type": "x"}],
        "FeedbackService/BatchCreateFeedback": [
            {"batch": [{**feedback, "id": "r", "feedback_type": "x"}]}
        ],
        "FeedbackService/ReplaceFeedback": [
            {**feedback, "feedback_id": "r", "feedback_type": "x"},
        ],
        "RunService/CreateRun": [{"run_id": "r", "name": "x"}],
        "RunService/UpdateRun": [{"run_id": "r", "name": "x"}],
        "DatapointService/CreateDatapoint": [{"id": "example", "inputs": {"q": "x"}}],
        "DatasetService/CreateDatasetItem": [{"slug": "d", "values": {"q": "x"}}],
        "ExperimentService/CreateExperiment": [{"featureSlug": "qa", "name": "x"}],
        "TraceService/CreateLog": [{"slug": "p", "output": "x"}],
        OTLP: [as_dict(otlp_request({"id": 1, "name": "x"}, {"id": 2, "name": "x"}))],
        "opentelemetry.proto.collector.logs.v1.LogsService/Export": [{}],
        "opentelemetry.proto.collector.metrics.v1.MetricsService/Export": [{}],
    }


def test_there_is_an_attack_by_every_method_that_ingests() -> None:
    assert set(attacks("p", "t", "s")) == set(INGEST)


# Which API wrote the spans of a trace, and by which API a service writes.
OWNERS = {"native": "native", "t": "basalt", "s": "honeyhive", TRACE_ID: "otlp"}
APIS = {
    "SpanService": "native",
    "TraceService": "basalt",
    "EventService": "honeyhive",
    "SessionService": "honeyhive",
}


@pytest.mark.parametrize("method", INGEST)
def test_an_ingest_key_changes_nothing_that_another_api_wrote(
    project: Project, method: str
) -> None:
    admin, ingest = project.direct(), with_role(project, "ingest")
    fill(admin, project.name, SECRET)
    owners = dict(OWNERS)
    if method == OTLP:  # ids that spans of this API can have
        admin.send("SpanService/DeleteTraceSpans", traceId=TRACE_ID)
        spans = [{"traceId": TRACE_ID, "spanId": f"{n:016x}", "name": SECRET} for n in (1, 2)]
        admin.send("SpanService/WriteSpans", spans=spans)
        owners = {TRACE_ID: "native"}
    before = stored(admin)
    api = APIS.get(method.split("/")[0], "")
    others = [k for k in before if isinstance(k, tuple) and owners.get(k[0], api) != api]
    assert others
    for trace_id, span_id in others:
        for fields in attacks(project.name, trace_id, span_id)[method]:
            code, said = outcome(ingest, method, fields)
            assert code in ("OK", "PERMISSION_DENIED"), said
            assert SECRET.encode() not in said
        after = stored(admin)
        assert {k: after.get(k) for k in before if k in others or k == "r"} == {
            k: before[k] for k in before if k in others or k == "r"
        }


def test_an_ingest_key_replaces_and_updates_what_its_own_api_wrote(project: Project) -> None:
    ingest, admin = with_role(project, "ingest"), project
    for text in ("first", "second"):
        event = {"event_id": "e", "session_id": text, "event_type": "tool", "event_name": text}
        ingest.send("EventService/CreateEventBatch", events=[event])
        ingest.send("TraceService/CreateTrace", trace={"id": "t", "name": text})
        ingest.send(OTLP, **as_dict(otlp_request({"id": 1, "name": text})))
        ingest.send("SessionService/StartSession", session_id="s", metadata={text: text})
        ingest.send("EventService/UpdateEvent", event_id="e", metadata={text: text})
        ingest.send("EventService/UpdateEvent", event_id="s", metrics={text: 1})
        ingest.send(
            "FeedbackService/CreateFeedback",
            project_id=project.name,
            id="f",
            weave_ref=f"weave:///e/{project.name}/agent_turn/t",
            feedback_type=text,
        )
    event = admin.send("EventService/GetEvent", event_id="e").event
    assert (event.event_name, event.session_id) == ("second", "second")
    assert as_dict(event)["metadata"] == {"first": "first", "second": "second"}
    session = as_dict(admin.send("EventService/GetEvent", event_id="s").event)
    assert session["metadata"] == {"first": "first", "second": "second"}
    assert session["metrics"] == {"first": 1, "second": 1}
    assert admin.send("TraceService/GetTrace", trace_id="t").trace.name == "second"
    spans = admin.send("SpanService/ListSpans", traceId=TRACE_ID).spans
    assert [span.name for span in spans] == ["second"]
    [feedback] = admin.send("FeedbackService/QueryFeedback", project_id=project.name).result
    assert feedback.feedback_type == "second"


def test_an_update_by_an_ingest_key_waits_for_an_event_of_its_api(project: Project) -> None:
    ingest = with_role(project, "ingest")
    ingest.send("EventService/UpdateEvent", event_id="e", metadata={"a": "x"})
    project.send("SpanService/WriteSpans", spans=[{"traceId": "t", "spanId": "e"}])
    [span] = project.send("SpanService/ListSpans", traceId="t").spans
    assert not span.HasField("metadata")
    event = {"event_id": "e", "session_id": "s", "event_type": "tool"}
    project.send("EventService/CreateEventBatch", events=[event])
    assert as_dict(project.send("EventService/GetEvent", event_id="e").event)["metadata"] == {
        "a": "x"
    }
