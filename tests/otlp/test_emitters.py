"""What each emitter's real requests make of one conversation: a question, a call of a tool, and the
answer that uses its result, against a stand-in for the model's API.

tests/data/otlp/emitters: the requests, beside each the chat that it makes; its README tells how
they were recorded. The first call took 40 + 12 tokens, 16 of them cached and 4 for reasoning, the
second one 60 + 20, 32 of them cached.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from spanloom.codec import otlp_json
from tests.contract.conftest import Project, new_project
from tests.servers import LiveServer

DATA = Path("tests/data/otlp/emitters")
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService/Export"
SPANS = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
SEARCHED = ("weather in Paris", "rain in Paris", "rainy in Paris")
CUT = 160


class Told(NamedTuple):
    """What the conversation says: `cost` in millionths of a dollar, `cached` and `reasoning` tokens
    among the others. `session` None stands for the id of the trace; `tools` are the calls that have
    a span of their own."""

    agents: tuple[str, ...] = ()
    session: str | None = None
    user: str = ""
    tools: int = 1
    models: int = 2
    tokens: tuple[int, int] = (100, 32)
    cached: int = 48
    reasoning: int = 4
    cost: float = 30.6


AGENT = ("weather_agent",)
NAMED = Told(AGENT, "session-1", "ann")
NO_CACHE: dict[str, Any] = {"cached": 0, "reasoning": 0, "cost": 34.2}
CODING = Told(("claude_code",), reasoning=0, cost=650.4)
TOOLS_ALONE = Told(models=0, tokens=(0, 0), cached=0, reasoning=0, cost=0)
EMITTERS = {
    "agentops": Told(AGENT, **NO_CACHE),
    "braintrust": NAMED._replace(agents=()),
    "claude_code": CODING._replace(
        session="d4413293-f8bf-4977-80e3-da7c4e7fa605",
        user="c5d1a900a6994f1bea457493e88f6ccc54a87fd338d83c9eeab3ebf43d1a2ebc",
    ),
    "claude_code_events": CODING._replace(
        session="2fe7d422-ed2a-4d97-b9d9-1c9b093b282a",
        user="bcc5e21914a71b4391583395fcf8b7fc39959012f973e6b1d5c83b6da4817076",
    ),
    "codex": Told(("codex",), "01a220c7-fb95-7c73-b359-a515a5693678", cost=391),
    "crewai": NAMED,
    # It leaves the tokens of thoughts out of the output, and does not tell the cached ones.
    "gemini_cli": Told(
        ("gemini-cli",),
        "28341516-6d30-4212-9adb-f58cfdbc9d16",
        tokens=(100, 28),
        **{**NO_CACHE, "cost": 100},
    ),
    "genkit": Told(),
    "haystack": NAMED._replace(agents=()),
    "haystack.2": Told(),
    "laminar": NAMED._replace(agents=()),
    "litellm": NAMED._replace(agents=(), tools=0),
    "livekit": Told(AGENT),
    "mcp.fastmcp": TOOLS_ALONE._replace(tools=2),
    "mcp.sentry": TOOLS_ALONE,
    "openlit": Told(tools=0, reasoning=0),
    "pipecat": NAMED._replace(agents=(), tools=0),
    "semantic_kernel": Told(AGENT, "session-1", **NO_CACHE),
    "sentry": Told(AGENT, "session-1", tools=0, reasoning=0),
    "sentry.10_20": Told(AGENT, tools=0, **NO_CACHE),
    # Its agents answer with a tool.
    "smolagents": NAMED._replace(tools=2, **NO_CACHE),
    "spring_ai": Told(session="session-1", reasoning=0),
    # The second call has the tokens of both.
    "spring_ai.1_1": Told(session="session-1", tokens=(140, 44), **{**NO_CACHE, "cost": 47.4}),
    "strands": NAMED._replace(reasoning=0),
    "strands.latest": NAMED._replace(reasoning=0),
}


def requests_of(name: str) -> Iterator[tuple[str, Any]]:
    """The requests of a recording, by method."""
    spans, logs = DATA / f"{name}.json", DATA / f"{name}.logs.json"
    if spans.exists():
        yield SPANS, otlp_json.parse(spans.read_bytes())
    if logs.exists():
        request = json.loads(logs.read_bytes(), object_hook=_with_binary_ids)
        yield LOGS, json_format.ParseDict(request, ExportLogsServiceRequest())


def _with_binary_ids(value: dict[str, Any]) -> dict[str, Any]:
    """As protobuf's own JSON has them."""
    for key in ("traceId", "spanId"):
        if isinstance(value.get(key), str):
            value[key] = b64encode(bytes.fromhex(value[key])).decode()
    return value


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("emitters")
    with LiveServer(database=f"sqlite:///{directory}/spanloom.db") as running:
        yield running


@pytest.fixture
def project(server: LiveServer) -> Project:
    return new_project(server.direct(), server)


def export(project: Project, name: str) -> None:
    for method, request in requests_of(name):
        answer = project(method, request)
        assert not answer.HasField("partial_success")


def conversations(project: Project) -> list[Any]:
    """The conversations with a call of a model or a tool."""
    found = project.send("QueryService/ListConversations").conversations
    return [c for c in found if c.figures.model_call_count or c.figures.tool_call_count]


def turns_of(project: Project, conversation_id: str, *, requests: bool = False) -> list[Any]:
    chat = project.send(
        "AgentChatService/GetConversationChat",
        project_id=project.name,
        conversation_id=conversation_id,
        include_model_tool_calls=requests,
    )
    return [*chat.turns]


def line(message: Any) -> str:
    who = f"({message.agent_name})" if message.agent_name else ""
    payload = getattr(message, message.type)
    match message.type:
        case "user_message":
            said = f"{message.agent_name}: {payload.text}"
        case "assistant_message":
            thought = f"<{payload.reasoning_content}> " if payload.reasoning_content else ""
            said = f"assistant{who}: {thought}{payload.text}"
        case "tool_call":
            called = f"{payload.tool_name}({payload.tool_arguments}) = {payload.tool_result}"
            said = f"tool{who}: {called}"
        case "agent_start":
            said = f"start{who}: {payload.system_instructions}"
        case other:
            said = f"{other}{who}"
    if message.status_code == "ERROR":
        said += f" FAILED {message.error_type}: {message.status_message}"
    said = " ".join(said.split())
    return said if len(said) <= CUT else said[:CUT] + "..."


def found_in(project: Project) -> Iterator[str]:
    """Who said the words of the conversation, as the search tells."""
    for words in SEARCHED:
        fields = {"project_id": project.name, "query": words}
        results = project.send("AgentChatService/SearchMessages", **fields).results
        roles = sorted({m.role for each in results for m in each.matched_messages})
        yield f"found {words!r}: {', '.join(roles) or 'nothing'}"


def told(project: Project) -> Iterator[str]:
    for conversation in conversations(project):
        for turn in turns_of(project, conversation.conversation_id, requests=True):
            yield from map(line, turn.messages)
    yield from found_in(project)


def test_every_recording_is_in_the_table() -> None:
    recorded = {
        path.name.removesuffix(".json").removesuffix(".logs") for path in DATA.glob("*.json")
    }
    assert recorded == set(EMITTERS)


@pytest.mark.parametrize("name", EMITTERS)
def test_the_chat_tells_the_question_the_call_and_the_answer(project: Project, name: str) -> None:
    export(project, name)
    assert list(told(project)) == (DATA / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize("name", EMITTERS)
def test_each_call_is_counted_and_priced_once(project: Project, name: str) -> None:
    export(project, name)
    export(project, name)  # as an exporter does that has no answer
    expected = EMITTERS[name]
    [conversation] = conversations(project)
    figures = conversation.figures
    turns = turns_of(project, conversation.conversation_id)
    trace_ids = {turn.trace_id for turn in turns}
    assert (
        Told(
            agents=tuple(conversation.agent_names),
            session=None
            if conversation.conversation_id in trace_ids
            else conversation.conversation_id,
            user=conversation.user.id,
            tools=sum(m.type == "tool_call" for turn in turns for m in turn.messages),
            models=figures.model_call_count,
            tokens=(figures.input_tokens, figures.output_tokens),
            cached=sum(turn.total_cache_read_input_tokens for turn in turns),
            reasoning=sum(turn.total_reasoning_tokens for turn in turns),
            cost=round(figures.cost_usd * 1e6, 2),
        )
        == expected
    )
