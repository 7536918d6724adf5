"""Projects are walls: a key reads and changes nothing of another project."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.v1 import event_service_pb2, trace_service_pb2
from tests.clients import CallError
from tests.contract.calls import as_dict, create_trace
from tests.contract.conftest import METHODS as ALL_METHODS
from tests.contract.conftest import Project, request_of
from tests.otlp.requests import request as otlp_request

SECRET = "what only the first project may read"
CREATE_EXPERIMENT = "ExperimentService/CreateExperiment"
# The server chooses the ids of keys: tests/contract/test_key_service.py revokes and rotates them.
OF_KEYS = ("KeyService/RevokeKey", "KeyService/RotateKey")
DELETE_USER_DATA = "ProjectService/DeleteUserData"
# Streams without an end, and those of requests: tests/contract/test_tails.py and
# test_span_streams.py have them.
STREAMS = frozenset(
    {
        *("SpanService/RecordSpans", "SpanService/ImportSpans"),
        *("SpanService/TailSpans", "ChatService/TailChat"),
    }
)
# It takes the key of its caller away: tests/contract/test_project_service.py has it.
DELETE_PROJECT = "ProjectService/DeleteProject"
METHODS = {
    name: method for name, method in ALL_METHODS.items() if name not in {*STREAMS, DELETE_PROJECT}
}
READS = [name for name, method in METHODS.items() if method.role == "read"]
# These tell ids, times and numbers.
WITHOUT_CONTENTS = [
    *("QueryService/PollTraceChanges", "QueryService/ListProjects"),
    *("JaegerService/ListJaegerServices", "JaegerService/GetJaegerDependencies"),
    *("JaegerV3Service/ListJaegerV3Services", "JaegerV3Service/GetJaegerV3Dependencies"),
    *("FeedbackService/GetFeedbackStats", "AgentSpanService/GetConversationSpans"),
    *("AgentSpanService/GetCustomAttributesSchema", "AgentSpanService/GetAgentSpanStats"),
    # A name that nobody can guess: tests/contract/test_attachment_service.py has the contents.
    "AttachmentService/GetAttachment",
    # tests/contract/test_file_service.py has the contents.
    "FileService/GetFile",
]
# The project that they name is the one that they are for.
OF_PROJECTS = ("CatalogService/CreateProject", "CatalogService/DeleteEmptyProject")
DELETES = [name for name in METHODS if "/Delete" in name]
WRITES = [name for name in METHODS if name not in (*READS, *DELETES)]


def catalog_requests(first: str, text: str) -> dict[str, dict[str, Any]]:
    """Of CatalogService and CatalogArrayService."""
    about = {"project": first, "description": text}
    parameters = {"call_type": "chat", "model": text or "m"}
    configuration = {**about, "id": "c", "name": "c", "provider": "p", "parameters": parameters}
    metric = {**about, "id": "m", "name": "m", "type": "PYTHON"}
    tool = {**about, "id": "t", "name": "t", "parameters": {}}
    chart = {**about, "id": "c", "name": "c", "metric": "cost"}
    return {
        "CatalogService/CreateTool": {"tool": tool},
        "CatalogService/UpdateTool": {"tool": {"id": "t", "name": text}},
        "CatalogService/DeleteTool": {"function_id": "t"},
        "CatalogService/ListTools": {"project": first},
        "CatalogService/CreateConfiguration": {"configuration": configuration},
        "CatalogService/UpdateConfiguration": {"id": "c", "configuration": {"name": text}},
        "CatalogService/DeleteConfiguration": {"id": "c"},
        "CatalogService/ListConfigurations": {"project": first},
        "CatalogService/CreateMetric": {"metric": metric},
        "CatalogService/UpdateMetric": {"metric_id": "m", "metric": {"name": text}},
        "CatalogService/DeleteMetric": {"metric_id": "m"},
        "CatalogService/ListMetrics": {"project": first},
        "CatalogService/ListMetricVersions": {"metric_id": "m"},
        "CatalogService/CreateMetricVersion": {"metric_id": "m", "content": metric},
        "CatalogService/DeployMetricVersion": {"metric_id": "m", "version_name": "v1"},
        "CatalogService/CreateChart": {"chart": chart},
        "CatalogService/UpdateChart": {"chart_id": "c", "chart": {"name": text}},
        "CatalogService/DeleteChart": {"chart_id": "c"},
        "CatalogService/GetChart": {"chart_id": "c"},
        "CatalogService/ListCharts": {"project": first},
        "CatalogService/CreateProject": {"name": first, "description": text},
        "CatalogService/UpdateProject": {"project_id": first, "description": text},
        "CatalogService/DeleteEmptyProject": {"name": first},
        "CatalogService/ListCatalogProjects": {"name": first},
        "CatalogArrayService/GetToolArray": {"project": first},
        "CatalogArrayService/GetConfigurationArray": {"project": first},
        "CatalogArrayService/GetMetricArray": {"project_name": first},
        "CatalogArrayService/GetProjectArray": {"name": first},
    }


def jaeger_requests() -> dict[str, dict[str, Any]]:
    """Of JaegerService and JaegerV3Service."""
    query = {"startTimeMin": "2020-01-01T00:00:00Z", "startTimeMax": "2200-01-01T00:00:00Z"}
    of_bot = {"service": "bot"}
    return {
        "JaegerService/ListJaegerServices": {},
        "JaegerService/ListJaegerOperationNames": of_bot,
        "JaegerService/ListJaegerOperations": of_bot,
        "JaegerService/FindJaegerTraces": {"traceID": ["t"]},
        "JaegerService/GetJaegerTrace": {"traceID": "t"},
        "JaegerService/GetJaegerDependencies": {},
        "JaegerV3Service/ListJaegerV3Services": {},
        "JaegerV3Service/ListJaegerV3Operations": of_bot,
        "JaegerV3Service/FindJaegerV3Traces": {"query": query},
        "JaegerV3Service/GetJaegerV3Trace": {"traceId": "t"},
        "JaegerV3Service/FindJaegerV3TraceSummaries": {"query": query},
        "JaegerV3Service/GetJaegerV3Dependencies": {
            "startTime": "2020-01-01T00:00:00Z",
            "endTime": "2200-01-01T00:00:00Z",
        },
    }


def requests(first: str, experiment_id: str = "", text: str = "") -> dict[str, dict[str, Any]]:
    """A request of every method, as JSON. All name the same things, and the project `first`.

    `text` is in everything that a write stores, and in no name.
    """
    about = {text: text, "run_id": "r", "datapoint_id": "example"}
    event = {"session_id": "s", "project": first, "event_name": text, "metadata": about}
    log = {"id": "g", "type": "generation", "output": text, "prompt": {"slug": "p"}}
    return {
        CREATE_EXPERIMENT: {"featureSlug": "qa", "name": text},
        "ExperimentService/ListExperiments": {},
        "ExperimentService/GetExperiment": {"experimentId": experiment_id},
        "PromptService/CreatePrompt": {
            "slug": "p",
            "version": "1.0.0",
            "text": text,
            "name": text,
            "description": text,
        },
        "PromptService/PublishPrompt": {"slug": "p", "newTag": "production"},
        "PromptService/ListPrompts": {},
        "PromptService/GetPrompt": {"slug": "p"},
        "PromptService/DescribePrompt": {"slug": "p"},
        "EvaluatorService/CreateEvaluator": {
            "evaluator": {"slug": "v", "kind": "regex", "settings": {"pattern": text}}
        },
        "EvaluatorService/ListEvaluators": {},
        "EvaluatorService/DeleteEvaluator": {"slug": "v"},
        "AgentSpanService/GetConversationSpans": {
            "project_id": first,
            "conversation_ids": ["s", "t"],
        },
        "AgentSpanService/QueryAgentSpans": {"project_id": first},
        "AgentSpanService/GetCustomAttributesSchema": {"project_id": first},
        "AgentSpanService/GetAgentSpanStats": {
            "project_id": first,
            "start": "1970-01-01T00:00:00Z",
        },
        "DatapointService/CreateDatapoint": {
            "project": first,
            "id": "example",
            "inputs": {text: text},
            "linked_datasets": ["d"],
        },
        "DatapointService/UpdateDatapoint": {"id": "example", "metadata": {text: text}},
        "DatapointService/ListDatapoints": {"project": first},
        "DatapointService/GetDatapoint": {"id": "example"},
        "DatapointService/DeleteDatapoint": {"id": "example"},
        "RunService/CreateRun": {
            "run_id": "r",
            "project": first,
            "name": text,
            "metadata": {text: text},
        },
        "RunService/UpdateRun": {"run_id": "r", "results": {text: text}},
        "RunService/ListRuns": {"project": first},
        "RunService/GetRun": {"run_id": "r"},
        "RunService/GetRunResult": {"run_id": "r"},
        "RunService/CompareRuns": {"new_run_id": "r", "old_run_id": "r"},
        "RunService/CompareRunEvents": {"run_id_1": "r", "run_id_2": "r"},
        "RunService/DeleteRun": {"run_id": "r"},
        **catalog_requests(first, text),
        # Before the feedback that it would delete.
        "FeedbackService/PurgeFeedback": {
            "project_id": first,
            "query": {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": "f"}]}},
        },
        "FeedbackService/BatchCreateFeedback": {
            "batch": [
                {
                    "project_id": first,
                    "feedback_type": "x",
                    "weave_ref": "weave:///e/p/agent_turn/t",
                    "scorer_tags": [text],
                    "payload": {text: text},
                }
            ]
        },
        "FeedbackService/ReplaceFeedback": {
            "project_id": first,
            "feedback_id": "f",
            "feedback_type": "x",
            "weave_ref": "weave:///e/p/agent_turn/t",
            "payload": {text: text},
        },
        "FeedbackService/GetFeedbackStats": {
            "project_id": first,
            "start": "2020-01-01T00:00:00Z",
            "end": "2200-01-01T00:00:00Z",
            "granularity": 1_000_000,
        },
        "FeedbackService/AggregateFeedback": {"project_id": first, "before_ms": 7_258_118_400_000},
        "FeedbackService/GetFeedbackPayloadSchema": {
            "project_id": first,
            "start": "2020-01-01T00:00:00Z",
        },
        "DatasetService/CreateDataset": {"slug": "d", "columns": ["q"], "name": text},
        "DatasetService/UpdateDataset": {"dataset_id": "d", "description": text},
        "DatasetService/AddDatapoints": {"dataset_id": "d", "data": [{text: text}]},
        "DatasetService/RemoveDatapoint": {"dataset_id": "d", "datapoint_id": "example"},
        "DatapointService/BatchCreateDatapoints": {
            "project": first,
            "select_all": True,
            "dataset_id": "d",
        },
        "DatasetService/CreateDatasetItem": {"slug": "d", "values": {"q": text}},
        "DatasetService/ListDatasets": {},
        "DatasetService/GetDataset": {"slug": "d"},
        "DatasetService/DeleteDataset": {"slug": "d"},
        "TraceService/CreateTrace": {
            "trace": {
                "id": "t",
                "name": text,
                "input": text,
                "featureSlug": "qa",
                "user": {"id": "u"},
                "experiment": {"id": experiment_id},
                "logs": [log],
            }
        },
        "SpanService/WriteSpans": {
            "spans": [
                {
                    "traceId": "native",
                    "spanId": "n",
                    "conversationId": "native c",
                    "kind": "SPAN_KIND_MODEL",
                    "outputMessages": [{"role": "assistant", "parts": [{"text": text or "x"}]}],
                }
            ]
        },
        "SpanService/UpdateSpan": {
            "span": {"traceId": "native", "spanId": "n", "metadata": {"text": text}}
        },
        "SpanService/GetSpan": {"traceId": "native", "spanId": "n"},
        "SpanService/ListSpans": {},
        "SpanService/ReadSpanText": {
            "traceId": "native",
            "spanId": "n",
            "path": "output_messages.0.parts.0.text",
        },
        "SpanService/DeleteSpans": {"spans": [{"traceId": "native", "spanId": "n"}]},
        "SpanService/DeleteTraceSpans": {"traceId": "t"},
        "ChatService/ListChatMessages": {"traceId": "native"},
        "ChatService/SearchChatMessages": {"traceId": "native"},
        "TraceService/CreateLog": {"slug": "p", "output": text},
        "TraceService/ListTraces": {},
        "TraceService/GetTrace": {"traceId": "t"},
        "TraceService/DeleteTrace": {"traceId": "t"},
        "TraceExportService/ExportTrace": {"traceId": "t"},
        "AttachmentService/GetAttachment": {"digest": "0" * 64},
        "FileService/GenerateUploadUrl": {"file_name": "f", "content_type": "image/png"},
        "FileService/GetFile": {"file_key": "f"},
        "opentelemetry.proto.collector.trace.v1.TraceService/Export": as_dict(
            otlp_request(
                {
                    "id": 1,
                    "name": text,
                    "attributes": {
                        "gen_ai__operation__name": "invoke_agent",
                        "gen_ai__agent__name": "Ada",
                        "gen_ai__agent__version": text,
                        "gen_ai__conversation__id": "c",
                    },
                },
                {
                    "id": 2,
                    "parent": 1,
                    "attributes": {
                        "gen_ai__operation__name": "chat",
                        "gen_ai__agent__name": text,
                        "gen_ai__conversation__id": "c",
                        "gen_ai__output__messages": [
                            {"role": "assistant", "parts": [{"type": "text", "content": text}]}
                        ],
                    },
                },
                wandb__project=first,
            )
        ),
        "opentelemetry.proto.collector.logs.v1.LogsService/Export": {},
        "opentelemetry.proto.collector.metrics.v1.MetricsService/Export": {},
        "EventService/CreateEvent": {"event": {**event, "event_id": "e", "event_type": "tool"}},
        "EventService/CreateEventBatch": {
            "events": [{**event, "event_id": "batch", "event_type": "tool"}]
        },
        "EventService/CreateModelEvent": {"model_event": {**event, "event_id": "model"}},
        "EventService/CreateModelEventBatch": {
            "model_events": [{**event, "event_id": "model batch"}]
        },
        "EventService/UpdateEvent": {"event_id": "e", "outputs": {"updated": text}},
        "EventService/GetEvent": {"event_id": "e"},
        "EventService/DeleteEvent": {"event_id": "e"},
        "EventService/ExportEvents": {"project": first},
        "EventService/SearchEvents": {"project": first},
        "EventService/ListEvents": {"project": first},
        "EventService/StreamEvents": {"project": first},
        "EventService/GetEventsSchema": {"project": first},
        "EventService/GetEventsChart": {"project": first, "group_by": "event_name"},
        "SessionService/StartSession": {
            "session": {"session_id": "s", "session_name": text, "project": first}
        },
        "SessionService/AddSessionTraces": {
            "session_id": "s",
            "events": [{**event, "event_id": "added", "event_type": "tool"}],
        },
        "SessionService/GetSession": {"session_id": "s"},
        "SessionService/DeleteSession": {"session_id": "s"},
        "FeedbackService/CreateFeedback": {
            "project_id": first,
            "id": "f",
            "weave_ref": f"weave:///e/{first}/agent_turn/t",
            "feedback_type": "x",
            "payload": {"note": text},
        },
        "FeedbackService/QueryFeedback": {"project_id": first},
        "QueryService/ListTraceSummaries": {},
        "QueryService/GetTraceSummary": {"traceId": "t"},
        "QueryService/CountTraces": {"facets": ["TRACE_FACET_NAME"]},
        "QueryService/PollTraceChanges": {},
        "QueryService/GetTraceOutline": {"traceId": "t"},
        "QueryService/SearchTrace": {"traceId": "t", "text": "what"},
        "QueryService/ListConversations": {},
        "QueryService/GetConversation": {"conversationId": "t"},
        "QueryService/GetUsage": {
            "startTimeFrom": "2020-01-01T00:00:00Z",
            "groupBy": ["USAGE_DIMENSION_NAME"],
        },
        "QueryService/CompareExperiments": {
            "experimentId": experiment_id,
            "baselineExperimentId": experiment_id,
        },
        "QueryService/GetCaller": {},
        "QueryService/ListProjects": {},
        **jaeger_requests(),
        "ReviewService/WriteReview": {
            "review": {
                "reviewId": "r",
                "target": {"conversationId": "c"},
                "name": "n",
                "comment": text,
            }
        },
        "ReviewService/ListReviews": {},
        "KeyService/CreateKey": {"roles": ["ROLE_READ"], "name": text},
        "KeyService/ListKeys": {},
        "PriceService/WritePrice": {"price": {"priceId": "p", "model": text}},
        "PriceService/ListPrices": {},
        "PriceService/DeletePrice": {"priceId": "p"},
        **{key: {"keyId": "00"} for key in OF_KEYS},
        "ProjectService/UpdateRetention": {"retentionDays": 0},
        "ProjectService/UpdateRedaction": {"rules": {"paths": ["$..nothing"]}},
        "ProjectService/GetRedaction": {},
        "ProjectService/UpdateLimits": {"limits": {"storedSpans": "0"}},
        DELETE_USER_DATA: {"userId": "u"},
        "ReviewService/DeleteReview": {"reviewId": "r"},
        "AgentChatService/GetTraceChat": {
            "project_id": first,
            "trace_id": "t",
            "include_feedback": True,
        },
        "AgentChatService/GetConversationChat": {
            "project_id": first,
            "conversation_id": "c",
            "include_feedback": True,
        },
        "AgentChatService/SearchMessages": {"project_id": first},
        "AgentChatService/ListAgents": {"project_id": first},
        "AgentChatService/ListAgentVersions": {"project_id": first, "agent_name": "Ada"},
    }


def request_to(project: Project, fields: dict[str, Any]) -> dict[str, Any]:
    """The request with the project's own name where it has to name one."""
    if "batch" in fields:
        return {"batch": [request_to(project, one) for one in fields["batch"]]}
    return {**fields, "project_id": project.name} if "project_id" in fields else fields


def fill(project: Project, first: str, text: str) -> str:
    """Make every write, and answer the id of the experiment, which is the server's choice."""
    experiment = project.send(CREATE_EXPERIMENT, **requests(first, text=text)[CREATE_EXPERIMENT])
    for method, fields in requests(first, experiment.id, text).items():
        if method in WRITES and method not in (CREATE_EXPERIMENT, *OF_KEYS, *OF_PROJECTS):
            project.send(method, **request_to(project, fields))
    return str(experiment.id)


def encoded(answer: Any) -> bytes:
    """An answer, or all those of a stream, as bytes, which hold every text that they hold."""
    answers = answer if isinstance(answer, list) else [answer]
    for message in answers:
        if "cursor" in message.DESCRIPTOR.fields_by_name:  # has the time of the call
            message.ClearField("cursor")
    return b"".join(message.SerializeToString(deterministic=True) for message in answers)


def every_page(project: Project, method: str, fields: dict[str, Any]) -> Any:
    """The answer with those of the pages behind it: a page may end early on a busy machine."""
    answer = project.send(method, **fields)
    while token := getattr(answer, "next_page_token", ""):
        answer.ClearField("next_page_token")
        answer.MergeFrom(project.send(method, **{**fields, "pageToken": token}))
    return answer


def read_all(project: Project, experiment_id: str) -> dict[str, bytes]:
    asked = requests(project.name, experiment_id)
    return {
        method: encoded(every_page(project, method, asked[method]))
        for method in READS
        if method not in WITHOUT_CONTENTS
    }


def test_every_method_has_a_request_that_names_anothers_things() -> None:
    assert set(requests("first")) == set(METHODS)


def test_the_requests_read_and_delete_what_they_write(project: Project) -> None:
    """So that the test below would see what passed the wall."""
    experiment_id = fill(project, project.name, SECRET)
    answers = read_all(project, experiment_id)
    assert [method for method in answers if SECRET.encode() not in answers[method]] == []
    asked = requests(project.name, experiment_id)
    for method in DELETES:
        if method == "SpanService/DeleteTraceSpans":  # DeleteTrace has deleted it
            create_trace(project, id="t")
        if method in OF_PROJECTS:  # its own key is in it
            with pytest.raises(CallError, match="PROJECT_NOT_EMPTY"):
                project.send(method, **asked[method])
            continue
        if method in ("SpanService/DeleteTraceSpans", DELETE_USER_DATA):
            # DeleteTrace has deleted it.
            create_trace(project, id="t", featureSlug="qa", user={"id": "u"})
        first = project.send(method, **asked[method])
        if method == DELETE_USER_DATA:
            assert first.deleted_counts.trace_count == 1
            assert project.send(method, **asked[method]).deleted_counts.trace_count == 0
            continue
        if method == "SpanService/DeleteSpans":
            assert first.deleted_count == 1
            assert project.send(method, **asked[method]).deleted_count == 0
            continue
        with pytest.raises(CallError, match="NOT_FOUND"):
            project.send(method, **asked[method])


def outcome(project: Project, method: str, fields: dict[str, Any]) -> tuple[str, bytes]:
    """The code of a call, and all that it says."""
    try:
        return "OK", encoded(project.send(method, **request_to(project, fields)))
    except CallError as refused:
        return refused.code, str(refused).encode()


@pytest.mark.parametrize("method", [*WRITES, *DELETES])
def test_no_method_changes_another_project(project: Project, method: str) -> None:
    assert_others_are_apart(project, [method])


def test_no_method_reads_another_project(project: Project) -> None:
    """All in the same projects, for they change nothing."""
    assert_others_are_apart(project, READS)


def assert_others_are_apart(project: Project, methods: list[str]) -> None:
    """One other project is empty, one holds things of the same names."""
    empty, twin = project.neighbour(), project.neighbour()
    experiment_id = fill(project.direct(), project.name, SECRET)
    fill(twin.direct(), project.name, twin.name)
    before = read_all(project.direct(), experiment_id)
    for other in (empty, twin):
        asked = requests(project.name, experiment_id, other.name)
        for method in methods:
            fields = asked[method]
            code, said = outcome(other, method, fields)
            refusals = ("PERMISSION_DENIED",) if method in OF_PROJECTS else ()
            assert code in ("OK", "NOT_FOUND", *refusals), (method, said)
            assert SECRET.encode() not in said, method
            with pytest.raises(CallError, match="PROJECT_MISMATCH"):
                other(method, request_of(method, request_to(other, fields)), project=project.name)
            if "project_id" in fields:
                with pytest.raises(CallError, match="PROJECT_MISMATCH"):
                    other.send(method, **fields)
    assert read_all(project.direct(), experiment_id) == before


def test_a_trace_resolves_names_in_its_own_project(project: Project) -> None:
    experiment_id = fill(project.direct(), project.name, SECRET)
    trace = {
        "featureSlug": "qa",
        "experiment": {"id": experiment_id},
        "evaluators": [{"slug": "v"}],
        "logs": [{"id": "g", "type": "generation", "prompt": {"slug": "p"}}],
    }
    assert not create_trace(project, **trace).HasField("warning")
    warning = create_trace(project.neighbour(), **trace).warning
    for unknown in ("No experiment found", "No evaluator found", "No prompt found"):
        assert unknown in warning


def test_a_project_header_must_be_the_keys_project(project: Project) -> None:
    request = trace_service_pb2.ListTracesRequest()
    project("TraceService/ListTraces", request, project=project.name)
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        project("TraceService/ListTraces", request, project="other")


def test_an_instance_key_works_in_the_project_it_names(project: Project) -> None:
    instance = project.server.key()
    name = project.name + " made on first write"
    create = trace_service_pb2.CreateTraceRequest()
    create.trace.id = "t"
    project("TraceService/CreateTrace", create, key=instance, project=name)
    get = trace_service_pb2.GetTraceRequest(trace_id="t")
    assert project("TraceService/GetTrace", get, key=instance, project=name).trace.id == "t"
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        project("TraceService/GetTrace", get)
    for word in ("*", "x" * 129):
        with pytest.raises(CallError) as refused:
            project("TraceService/CreateTrace", create, key=instance, project=word)
        assert set(refused.value.violations) == {"project"}


def test_events_name_their_project_to_an_instance_key(project: Project) -> None:
    instance = project.server.key()
    request = event_service_pb2.CreateEventBatchRequest()
    for project_name in (project.name, project.name):
        request.events.add(event_type="tool", project=project_name)
    project("EventService/CreateEventBatch", request, key=instance)
    assert project("EventService/ExportEvents", event_service_pb2.ExportEventsRequest()).count == 2
    request.events[1].project = "another"
    with pytest.raises(CallError) as refused:
        project("EventService/CreateEventBatch", request, key=instance)
    assert set(refused.value.violations) == {"events[1].project"}
