"""Real OpenTelemetry exporters, told nothing but the endpoint and the key."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Status, StatusCode

from tests.contract.conftest import Project
from tests.otlp.requests import MODEL, TOOL, chat, steps, trace

BUILD = Path("build")


def http_exporter(project: Project, compression: Compression) -> SpanExporter:
    address = project.server.running.http_address
    key = {"Authorization": f"Bearer {project.key}"}
    return HttpExporter(f"http://{address}/v1/traces", headers=key, compression=compression)


def grpc_exporter(project: Project, compression: grpc.Compression) -> SpanExporter:
    address = project.server.running.grpc_address
    key = (("authorization", f"Bearer {project.key}"),)
    return GrpcExporter(address, insecure=True, headers=key, compression=compression)


@pytest.mark.parametrize(
    ("make", "compression"),
    [
        (http_exporter, Compression.NoCompression),
        (http_exporter, Compression.Gzip),
        (http_exporter, Compression.Deflate),
        (grpc_exporter, grpc.Compression.NoCompression),
        (grpc_exporter, grpc.Compression.Gzip),
        (grpc_exporter, grpc.Compression.Deflate),
    ],
)
def test_the_python_sdk_exports(project: Project, make: Any, compression: Any) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "bot"}))
    provider.add_span_processor(BatchSpanProcessor(make(project, compression)))
    tracer = provider.get_tracer("tests", "1")
    with tracer.start_as_current_span("invoke_agent Ada") as agent:
        for span in (TOOL, MODEL):
            given = {key.replace("__", "."): _plain(v) for key, v in span["attributes"].items()}  # type: ignore[attr-defined]
            with tracer.start_as_current_span(
                str(span["name"]), attributes=given, links=[Link(agent.get_span_context())]
            ) as child:
                child.add_event("thought", {"depth": 2})
        child.set_status(Status(StatusCode.OK))
    provider.shutdown()
    trace_id = f"{agent.get_span_context().trace_id:032x}"
    assert steps(chat(project, trace_id)) == [
        ("agent_start", ""),
        ("tool_call", 'clock {"zone": "UTC"} 12:00'),
        ("user_message", "Wie spät ist es?"),
        ("assistant_message", "Zwölf."),
    ]
    log = trace(project, trace_id).logs[0]
    assert log.otel["events"][0]["name"] == "thought"
    assert log.otel["resource"]["attributes"]["service.name"] == "bot"
    assert log.otel["links"][0]["trace_id"] == trace_id


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int) else json.dumps(value)


def environment(project: Project) -> dict[str, str]:
    """The two variables that any OpenTelemetry SDK needs."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{project.server.running.http_address}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{project.key}",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }


def install(directory: Path, command: list[str]) -> Path:
    """Run an installing command in a directory under build/ unless it has run there before."""
    done = directory / "installed"
    if not done.exists() or done.read_text() != " ".join(command):
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, cwd=directory, check=True, timeout=170, capture_output=True)
        done.write_text(" ".join(command))
    return directory


if shutil.which("npm"):

    @pytest.mark.parametrize("form", ["http", "proto"])
    def test_the_node_sdk_exports(project: Project, form: str) -> None:
        packages = [f"@opentelemetry/exporter-trace-otlp-{f}@0.223.1" for f in ("http", "proto")]
        command = ["npm", "install", "--no-audit", "--no-fund", *packages]
        command += ["@opentelemetry/sdk-trace-base@2.12.1", "@opentelemetry/api@1.9.0"]
        directory = install(BUILD / "node-exporter", command)
        script = directory / f"send-{form}.cjs"
        script.write_text(
            f"""
            const {{ OTLPTraceExporter }} = require("@opentelemetry/exporter-trace-otlp-{form}");
            const {{
                BasicTracerProvider, BatchSpanProcessor
            }} = require("@opentelemetry/sdk-trace-base");
            const processor = new BatchSpanProcessor(new OTLPTraceExporter());
            const provider = new BasicTracerProvider({{ spanProcessors: [processor] }});
            const attributes = {{
              "gen_ai.operation.name": "chat",
              "gen_ai.output.messages": JSON.stringify([
                {{ role: "assistant", parts: [{{ type: "text", content: "from Node" }}] }},
              ]),
            }};
            const span = provider.getTracer("node").startSpan("chat m", {{ attributes }});
            span.end();
            provider.shutdown().then(() => console.log(span.spanContext().traceId));
            """
        )
        ran = subprocess.run(
            ["node", str(script.resolve())],
            env=environment(project),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert steps(chat(project, ran.stdout.strip())) == [("assistant_message", "from Node")]


class _Api(BaseHTTPRequestHandler):
    """Answers like the chat completions of the OpenAI API: first a tool call, then, given its
    result, a text."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["messages"][-1]["role"] == "tool":
            message: dict[str, Any] = {"role": "assistant", "content": "It is noon."}
        else:
            function = {"name": "clock", "arguments": '{"zone": "UTC"}'}
            call = {"id": "call_1", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        answer = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


_ASK = """
import sys
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
if sys.argv[1] == "openinference":
    from openinference.instrumentation.openai import OpenAIInstrumentor
else:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
OpenAIInstrumentor().instrument(tracer_provider=provider)
client = OpenAI(base_url=sys.argv[2], api_key="none")
parameters = {"type": "object", "properties": {"zone": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "clock", "parameters": parameters}}]
messages = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What time is it?"},
]
with provider.get_tracer("app").start_as_current_span("turn") as turn:
    said = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    called = said.choices[0].message
    messages += [called.model_dump(exclude_none=True)]
    messages += [{"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "12:00"}]
    client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
provider.shutdown()
print(f"{turn.get_span_context().trace_id:032x}")
"""


@pytest.mark.parametrize("instrumentation", ["openinference", "openllmetry"])
def test_an_instrumented_openai_client_is_a_chat(
    project: Project, api: str, instrumentation: str
) -> None:
    packages = ["openai==3.54.0", "opentelemetry-exporter-otlp-proto-http"]
    packages += ["openinference-instrumentation-openai==0.1.66"]
    packages += ["opentelemetry-instrumentation-openai==0.62.4"]
    venv = f"{sys.executable} -m uv venv --clear -p {sys.executable} venv"
    pip = f"{sys.executable} -m uv pip install -p venv/bin/python {' '.join(packages)}"
    directory = install(BUILD / "instrumented-openai", ["sh", "-ec", f"{venv}; {pip}"])
    ran = subprocess.run(
        [str(directory / "venv/bin/python"), "-c", _ASK, instrumentation, api],
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    trace_id = ran.stdout.strip()
    said = steps(chat(project, trace_id))
    assert ("user_message", "What time is it?") in said
    assert said[-1] == ("assistant_message", "It is noon.")
    found = chat(project, trace_id, include_model_tool_calls=True)
    assert ("tool_call", 'clock {"zone": "UTC"} 12:00') in steps(found)
    assert (found.total_input_tokens, found.total_output_tokens) == (20, 10)
    assert found.total_cost_usd > 0
