"""Real Basalt clients, unchanged but for address and key: what they write is read back, and what
they ask for they understand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import until
from tests.databases import DATABASES, new_url
from tests.servers import LiveServer

HERE = Path(__file__).parent
VENVS = Path("build/sdk").absolute()
MODEL = {
    "provider": "open-ai",
    "model": "gpt-4o",
    "parameters": {"temperature": 0.2, "maxLength": 64},
}


def python_with(package: str) -> Path:
    """The Python of a venv that holds the package; made once and kept in build/."""
    venv = VENVS / package.replace("==", "-")
    ready = venv / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        install = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", package]
        subprocess.run(install, check=True, timeout=300)
        ready.touch()
    return venv / "bin/python"


@pytest.fixture(scope="module", params=DATABASES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """One that the client's uploads find by the host of its requests."""
    url = new_url(request.param, tmp_path_factory.mktemp("database"))
    with LiveServer(database=url, log_level="error") as live:
        yield live


class Rest:
    """A project's REST calls with an admin key."""

    def __init__(self, server: LiveServer, project: str) -> None:
        self.project = project
        self.key = server.key(project)
        self.url = f"http://{server.running.http_address}"
        self._http = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, trust_env=False
        )

    def __call__(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        answer = self._http.request(method, path, json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self) -> None:
        self._http.close()

    def run(self, package: str, program: str) -> dict[str, Any]:
        """What a client's program printed."""
        environ = {"BASALT_URL": self.url, "BASALT_KEY": self.key, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [python_with(package), HERE / program],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said


@pytest.fixture
def rest(request: pytest.FixtureRequest, server: LiveServer) -> Iterator[Rest]:
    rest = Rest(server, request.node.name[:100])
    prompt = {
        "slug": "qa-prompt",
        "version": "1.2.0",
        "text": "Hello {{ name }}",
        "tags": ["production"],
        "model": MODEL,
    }
    rest("POST", "/v1/prompts", prompt)
    rest("POST", "/v1/datasets", {"slug": "qa-set", "columns": ["q"]})
    rest("POST", "/v1/evaluators", {"slug": "same", "kind": "exact_match"})
    rest("POST", "/v1/evaluators", {"slug": "short", "kind": "length", "settings": {"max": 9}})
    yield rest
    rest.close()


PROMPT = {"text": "Hello Ann", "version": "1.2.0", "model": "gpt-4o", "temperature": 0.2}


def test_the_rest_client_works_unchanged(rest: Rest) -> None:
    said = rest.run("basalt-sdk==0.5.2", "basalt_rest.py")
    assert said["prompt"] == PROMPT
    assert said["variables"] == ["name"]
    assert said["prompts"] == [["qa-prompt", "live"]]
    assert said["tag"] == "staging"
    assert said["not found"] == ["NotFound", None]
    assert (said["experiment"]["name"], said["experiment"]["slug"]) == ("exp A", "qa-chatbot")
    listed = rest("GET", "/v1/traces")["traces"]
    by_name = {trace.get("name", trace.get("featureSlug")): trace for trace in listed}
    assert set(by_name) == {"full trace", "failed", "minimal", "qa-prompt"}
    assert by_name["failed"]["status"] == "ERROR"
    assert _is_whole(rest("GET", f"/v1/traces/{by_name['full trace']['id']}")["trace"], said)
    rendered = rest("GET", f"/v1/traces/{by_name['qa-prompt']['id']}")["trace"]
    assert rendered["input"] == "Hello Ann"
    assert rendered["logs"][0]["prompt"]["slug"] == "qa-prompt"
    chat_of = {"project_id": rest.project, "trace_id": by_name["full trace"]["id"]}
    chat = json.dumps(rest("POST", "/agents/traces/chat", chat_of)["messages"])
    places = [chat.index(text) for text in ("What is the capital of France?", "search", "lookup")]
    assert places == sorted(places)
    assert chat.rindex("Paris") > places[-1]
    _is_evaluated(rest, said["experiment"]["id"], "same")


def _is_whole(trace: dict[str, Any], said: dict[str, Any]) -> bool:
    expected = {
        "featureSlug": "qa-chatbot",
        "input": "What is the capital of France?",
        "output": "Paris",
        "idealOutput": "Paris",
        "metadata": {"k": 1},
        "user": {"id": "u1", "name": "Ann"},
        "organization": {"id": "o1", "name": "ACME"},
        "experiment": {"id": said["experiment"]["id"]},
        "evaluators": [{"slug": "same"}, {"slug": "unknown"}],
        "evaluationConfig": {"sampleRate": 0.5},
        "sampled": True,
    }
    assert {name: trace[name] for name in expected} == expected
    logs = {log["name"]: log for log in trace["logs"]}
    outer = logs["outer"]["id"]
    assert {name: log.get("parentId") for name, log in logs.items()} == {
        "outer": None,
        "search": outer,
        "lookup": outer,
        "gen": outer,
    }
    assert {name: log["type"] for name, log in logs.items()} == {
        "outer": "span",
        "search": "retrieval",
        "lookup": "tool",
        "gen": "generation",
    }
    assert logs["search"]["input"] == {"q": "France"}
    generation = {
        "output": "Paris",
        "idealOutput": "Paris",
        "inputTokens": 10,
        "outputTokens": 2,
        "cost": 0.001,
        "prompt": {"slug": "qa-prompt", "version": "1.2.0"},
        "variables": [{"label": "name", "value": "Ann"}, {"label": "n", "value": "3"}],
    }
    assert {name: logs["gen"][name] for name in generation} == generation
    return True


def _is_evaluated(rest: Rest, experiment_id: str, slug: str) -> None:
    def found() -> list[dict[str, Any]]:
        evaluations: list[dict[str, Any]] = rest("GET", f"/v1/experiments/{experiment_id}")[
            "evaluations"
        ]
        return evaluations

    # The trace and its generation.
    until(lambda: [(e["evaluator"], e["results"]) for e in found()] == [(slug, 2)])
    assert found()[0]["labels"] == {"pass": 2}


@pytest.mark.parametrize(
    ("version", "has_experiments"), [("0.1.1", False), ("0.2.3", True), ("0.4.1", True)]
)
def test_older_clients_work_unchanged(rest: Rest, version: str, has_experiments: bool) -> None:
    said = rest.run(f"basalt-sdk=={version}", "basalt_old.py")
    experiment_id = said.pop("experiment", None)
    rows = [[{"q": "a"}, "row", "yes", {"s": 1}]]
    assert said == {
        "prompt": ["Hello Ann" if version > "0.4" else "Hello {{ name }}", "gpt-4o"],
        "variables": ["name"],
        "prompts": [["qa-prompt", "live"]],
        **({"datasets": [["qa-set", ["q"]]], "rows": rows} if has_experiments else {}),
    }
    (listed,) = rest("GET", "/v1/traces", featureSlug="qa-chatbot")["traces"]
    trace = rest("GET", f"/v1/traces/{listed['id']}")["trace"]
    assert (trace["input"], trace["output"]) == ("What is the capital of France?", "Paris")
    assert (trace["user"], trace["metadata"]) == ({"id": "u1", "name": "Ann"}, {"k": [1, None]})
    assert ("chainSlug" in trace) != has_experiments
    logs = {log["name"]: log for log in trace["logs"]}
    assert {name: log["type"] for name, log in logs.items()} == {
        "outer": "span",
        "lookup": "tool",
        "gen": "generation",
    }
    assert {logs[name]["parentId"] for name in ("lookup", "gen")} == {logs["outer"]["id"]}
    assert logs["gen"]["prompt"] == {"slug": "qa-prompt", "version": "1.2.0"}
    assert logs["gen"]["variables"] == [{"label": "n", "value": "3"}]
    if has_experiments:
        assert trace["experiment"] == {"id": experiment_id}


def test_the_new_client_works_unchanged(rest: Rest) -> None:
    said = rest.run("basalt-sdk==1.1.10", "basalt_otlp.py")
    experiment = said.pop("experiment")
    file_key = said.pop("file")
    (row,) = rest("GET", "/v1/datasets/qa-set")["dataset"]["rows"]
    assert row["values"] == {"q": file_key}
    headers = {"authorization": f"Bearer {rest.key}"}
    read = httpx.get(f"{rest.url}/v1/files/{file_key}", headers=headers, trust_env=False)
    assert (read.content, read.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert said == {
        "prompt": PROMPT,
        "variables": ["name"],
        "prompts": [["qa-prompt", "live"]],
        "tag": "canary",
    }
    found = rest("GET", f"/v1/experiments/{experiment['id']}")["experiment"]
    assert (found["name"], found["featureSlug"]) == ("exp B", "qa-chatbot")
    (listed,) = rest("GET", "/v1/traces", featureSlug="qa-chatbot")["traces"]
    trace = rest("GET", f"/v1/traces/{listed['id']}")["trace"]
    assert (trace["input"], trace["output"]) == ("Capital of France?", "Paris")
    assert trace["sampled"]
    assert trace["evaluators"] == [{"slug": "short"}]
    assert trace["experiment"]["id"] == experiment["id"]
    (generation,) = trace["logs"]
    assert (generation["type"], generation["name"], generation["output"]) == (
        *("generation", "ask"),
        "Paris",
    )
    _is_evaluated(rest, experiment["id"], "short")
