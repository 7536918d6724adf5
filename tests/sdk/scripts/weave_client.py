"""Goes through every method of Weave's typed client that has to do with agents and feedback, with
strict validation of every answer, and prints what they gave, and which methods were not called."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from weave.vendor.weave_server_sdk import WeaveTrace

project = os.environ["PROJECT"]
real = WeaveTrace(
    base_url=os.environ["URL"],
    username="api",
    password=os.environ["KEY"],
    _strict_response_validation=True,
)
got: dict[str, Any] = {}
left: set[str] = set()


class Noted:
    """A resource of the client with all of its methods in `left`, until they are called."""

    def __init__(self, resource: Any, path: str) -> None:
        for name in dir(type(resource)):
            if name.startswith(("_", "with_")):
                continue
            inner, at = getattr(resource, name), f"{path}.{name}"
            setattr(self, name, noted(inner, at) if callable(inner) else Noted(inner, at))


def noted(method: Any, path: str) -> Any:
    left.add(path)

    def call(**arguments: Any) -> Any:
        left.discard(path)
        return method(**arguments)

    return call


class Client:
    agents: Any = Noted(real.agents, "agents")
    feedback: Any = Noted(real.feedback, "feedback")


client = Client()


def keep(name: str, answer: Any) -> None:
    got[name] = json.loads(answer.to_json()) if hasattr(answer, "to_json") else answer


feedback = {
    "project_id": project,
    "feedback_type": "custom",
    "weave_ref": f"weave:///e/{project}/agent_turn/{os.environ['TRACE']}",
    "payload": {"output": {"score": 0.5, "ok": True}},
}
scored = {"scorer_tags": ["rude"], "scorer_ratings": {"tone": 0.25}}
since, now = int((time.time() - 3600) * 1000), int((time.time() + 3600) * 1000)
start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since / 1000))

keep("create", client.feedback.create(**feedback))
keep("batch", client.feedback.batch_create(batch=[feedback, {**feedback, **scored}]))
keep("replace", client.feedback.replace(**feedback, feedback_id=got["create"]["id"]))
keep("query", client.feedback.query(project_id=project, limit=2))
keep(
    "stats",
    client.feedback.stats(project_id=project, start=start, metrics=[{"json_path": "output.score"}]),
)
keep(
    "aggregate",
    client.feedback.aggregate(project_id=project, after_ms=since, before_ms=now),
)
keep("schema", client.feedback.payload_schema(project_id=project, start=start))
one = {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": got["create"]["id"]}]}}
keep("purge", client.feedback.purge(project_id=project, query=one))
keep("left", client.feedback.query(project_id=project))
keep("agents", client.agents.query(project_id=project))
keep("search", client.agents.search(project_id=project, query="hello"))
keep("chat", client.agents.traces.chat(project_id=project, trace_id=os.environ["TRACE"]))
conversation = os.environ["CONVERSATION"]
keep(
    "conversation",
    client.agents.conversations.chat(project_id=project, conversation_id=conversation),
)
keep(
    "versions",
    client.agents.agent_versions.query(project_id=project, agent_name="Ada"),
)
keep(
    "conversation_spans",
    client.agents.conversations.spans(project_id=project, conversation_ids=[conversation]),
)
keep("spans", client.agents.spans.query(project_id=project, limit=5))
keep("attributes", client.agents.spans.custom_attrs_schema(project_id=project))
tokens = {"key": "input_tokens"}
keep(
    "groups",
    client.agents.spans.query(
        project_id=project,
        group_by=[{"key": "agent_name", "alias": "agent"}],
        measures=[{"alias": "most", "aggregation": "max", "value": tokens}],
        group_filters=[{"measure": {"alias": "n", "aggregation": "count"}, "min": 1}],
        group_distributions=[
            {"alias": "kinds", "value": {"source": "custom_attrs_string", "key": "kind"}}
        ],
        sort_by=[{"field": "span_count", "direction": "desc"}],
        include_details=True,
    ),
)
metric = {"alias": "tokens", "value": tokens, "value_type": "number", "percentiles": [95]}
begin = "1970-01-01T00:00:00Z"
keep(
    "span_stats",
    client.agents.spans.stats(
        project_id=project,
        start=begin,
        end="1970-01-01T00:01:00Z",
        metrics=[{**metric, "aggregations": ["sum", "avg"]}],
        group_by=[{"key": "agent_name"}],
    ),
)
keep(
    "span_bins",
    client.agents.spans.stats(
        project_id=project,
        start=begin,
        metrics=[metric],
        bucket_by={"type": "number", "value": {"source": "derived", "key": "duration_ms"}},
    ),
)
got["not_called"] = sorted(left)
print(json.dumps(got))
