"""The HoneyHive SDKs against a live server: only the address and the key are set, and all that they
wrote is read back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import HttpClient
from tests.sdk.conftest import RunScript
from tests.servers import LiveServer

NEW, OLD = "honeyhive==1.7.0", "honeyhive==0.2.57"
JAVASCRIPT = "honeyhive@1.0.42"
_numbers = itertools.count(1)


class Team:
    """A project with a key, and the events that are in it."""

    def __init__(self, server: LiveServer, run_script: RunScript) -> None:
        self.key = server.key(f"team-{next(_numbers)}")
        self._run_script = run_script
        self._http = HttpClient(server.running.http_address)
        self._url = f"http://{server.running.http_address}"

    def run(self, requirement: str, script: str) -> Any:
        return self._run_script(requirement, script, HH_API_URL=self._url, HH_API_KEY=self.key)

    def get(self, path: str) -> Any:
        answer = self._http.http.get(path, headers={"authorization": f"Bearer {self.key}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def team(server: LiveServer, run_script: RunScript) -> Iterator[Team]:
    made = Team(server, run_script)
    yield made
    made.close()


def holds(found: dict[str, Any], sent: dict[str, Any]) -> None:
    assert {name: found.get(name) for name in sent} == sent


def test_the_client_reads_back_what_it_wrote(team: Team) -> None:
    got = team.run(NEW, "honeyhive_client.py")
    session, event, update = (got["sent"][name] for name in ("session", "event", "update"))
    name = session.pop("session_name")
    assert got["started"]["event_id"] == got["started"]["session_id"] == session["session_id"]
    holds(got["started"], {**session, "event_name": name, "event_type": "session"})
    assert got["created"] == {"success": True, "event_id": event["event_id"]}
    assert got["batch"]["success"] is True
    assert len(got["all"]) == 5
    assert {e["event_name"] for e in got["by_session"]} == {name, "call"}
    (found,) = got["by_event"]
    merged = ("metadata", "feedback", "metrics", "config", "user_properties")
    expected = {**event, **update, **{m: {**event[m], **update[m]} for m in merged}}
    holds(found, expected)
    assert got["by_cost"] == got["by_path"] == got["by_event"]
    assert {e["event_id"] for e in got["in_range"]} == {event["event_id"], session["session_id"]}
    assert got["projected"][0]["inputs"] == event["inputs"]
    assert got["projected"][0]["outputs"] is None
    assert [e["event_id"] for e in got["paged"]] == [got["all"][1]["event_id"]]
    assert [e["event_id"] for e in got["listed"]] == [e["event_id"] for e in got["all"][:2]]
    batched = team.get(f"/v1/sessions/{got['batch']['session_id']}")
    assert {c["event_name"] for c in batched["children"]} == {"a", "b"}
    assert (batched["event_name"], batched["metadata"]["m"]) == ("batch", 1)


def test_the_tracers_session_is_enriched(team: Team) -> None:
    got = team.run(NEW, "honeyhive_session.py")
    session = team.get(f"/v1/events/{got['session_id']}")["event"]
    holds(
        session,
        {
            "event_name": "enriched",
            "source": "test",
            "inputs": {"q": "hi"},
            "metadata": {"sm": 1},
            "feedback": {"thumb": "up"},
            "metrics": {"score": 1},
            "outputs": {"final": "x"},
            "config": {"c": 1},
            "user_properties": {"u": "v"},
        },
    )
    event = team.get(f"/v1/events/{got['event_id']}")["event"]
    holds(
        event,
        {"event_name": "made by hand", "session_id": got["session_id"], "outputs": {"b": 2}},
    )


def test_the_tracers_functions_are_a_tree(team: Team) -> None:
    got = team.run(NEW, "honeyhive_tracer.py")
    session = team.get(f"/v1/sessions/{got['session_id']}")
    holds(
        session,
        {
            "event_name": "traced",
            "source": "test",
            "feedback": {"thumb": "up"},
            "metrics": {"score": 1},
            "outputs": {"final": "x"},
        },
    )
    assert session["metadata"]["sm"] == 1
    (answer,) = session["children"]
    holds(
        answer,
        {
            "event_name": "answer",
            "event_type": "chain",
            "session_id": got["session_id"],
            "parent_id": got["session_id"],
        },
    )
    assert answer["inputs"]["question"] == "How warm is it?"
    assert answer["outputs"] == {"result": "21 degrees"}
    below = {child["event_name"]: child for child in answer["children"]}
    lookup = below["lookup"]
    assert lookup["event_type"] == "tool"
    assert lookup["inputs"]["city"] == "Paris"
    assert lookup["outputs"] == {"result": {"temperature": 21}}
    assert (lookup["metadata"]["looked"], lookup["metrics"]["score"]) == (1, 0.5)
    assert "no such city" in below["fail"]["error"]


def test_the_old_client_reads_back_what_it_wrote(team: Team) -> None:
    got = team.run(OLD, "honeyhive_old.py")
    assert got["started"] == got["session_id"]
    assert got["created"] == got["event_id"]
    assert len(got["batch"]) == got["total"] == 1
    (found,) = got["found"]
    holds(
        found,
        {
            "event_id": got["event_id"],
            "event_name": "call",
            "inputs": {"q": "hi"},
            "metadata": {"cost": 0.1, "x": 1},
        },
    )
    assert got["session"]["event_name"] == "old"


def test_evaluate_runs_on_datasets_in_place_and_on_the_server(team: Team) -> None:
    got = team.run(NEW, "honeyhive_evaluate.py")
    run = got["run"]["evaluation"]
    assert (run["name"], run["status"], len(run["event_ids"])) == ("doubles", "completed", 2)
    assert [each["run_id"] for each in got["runs"]["evaluations"]] == [run["run_id"]]
    [metric] = got["result"]["metrics"]["details"]
    assert (metric["metric_name"], metric["aggregate"]) == ("right", 0.5)
    assert {each["datapoint_id"] for each in got["result"]["datapoints"]} == {"EXT-1", "EXT-2"}
    assert sorted(got["compared"]["commonDatapoints"]) == ["EXT-1", "EXT-2"]
    assert got["deleted"] == {"id": run["run_id"], "deleted": True}
    stored, dataset = got["stored"]["run"]["evaluation"], got["stored"]["dataset"]
    assert (stored["status"], stored["dataset_id"]) == ("completed", dataset["id"])
    assert sorted(stored["datapoint_ids"]) == sorted(dataset["datapoints"])
    assert sorted(got["stored"]["passed"]) == sorted(dataset["datapoints"])


def test_every_method_of_the_client_is_answered_as_it_demands(team: Team) -> None:
    got = team.run(NEW, "honeyhive_every_method.py")
    assert got["not called"] == []
    catalogs, datasets, events = (got[name] for name in ("catalogs", "datasets", "events"))
    [configuration] = catalogs["configurations"]
    holds(configuration, {"name": "v1", "provider": "openai", "env": ["prod"], "tags": ["a"]})
    holds(configuration["parameters"], {"model": "m1", "hyperparameters": {"temperature": 0.5}})
    assert catalogs["deleted configuration"] == {"acknowledged": True, "deletedCount": 1}
    [metric] = catalogs["metrics"]
    holds(metric, {"name": "length", "type": "PYTHON", "description": "how long", "scale": 5})
    assert catalogs["metric"] == [metric]
    versions = [(each["name"], each["deployed"]) for each in catalogs["versions"]]
    assert versions == [("v1", False), ("v2", False), ("v3", True)]
    assert catalogs["deployed metric"][0]["criteria"] == "def g(e): ..."
    assert catalogs["charts"] == [catalogs["chart"]]
    holds(catalogs["chart"], {"func": "sum", "groupBy": "model", "dateRange": {"relative": "7d"}})
    [dataset] = datasets["datasets"]
    assert dataset == datasets["updated"]
    assert (dataset["description"], dataset["datapoints"]) == ("e", datasets["ids"])
    assert {each["id"] for each in datasets["datapoints"]} == set(datasets["ids"])
    assert datasets["left"] == [datasets["ids"][0], datasets["ids"][2]]
    assert datasets["deleted"]["result"]["id"] == dataset["id"]
    assert (sorted(events["exported"]), events["of session"]) == (["call", "s"], 2)
    assert (events["run"], events["runs"], events["pairs"]["totalEvents"]) == ("completed", 2, 1)
    [pair] = events["pairs"]["events"]
    assert pair["datapoint_id"] == "EXT-1"
    assert pair["event_1"]["event_name"] == pair["event_2"]["event_name"] == "call"


def test_every_method_of_the_javascript_client_is_answered_as_it_demands(
    server: LiveServer, run_node: RunScript
) -> None:
    project = f"team-{next(_numbers)}"
    got = run_node(
        *(JAVASCRIPT, "honeyhive.cjs", project),
        HH_API_URL=f"http://{server.running.http_address}",
        HH_API_KEY=server.key(project),
        INSTANCE_KEY=server.key("*"),
    )
    assert got["failed"] == {}
    assert got["not called"] == []
    assert got["projects"] == [{"id": "made", "name": "made", "description": "b"}]
    assert (got["tools"][0]["toolType"], got["sameTool"]) == ("function", True)
    assert [each["name"] for each in got["metrics"]] == ["new"]
    assert [each["env"] for each in got["configurations"]] == [["prod"]]
    assert got["datasets"][0]["datapoints"] == got["added"]
    assert [each["eventName"] for each in got["events"]].count("model call") == 2
    assert {each["endTime"] for each in got["events"] if each["eventName"] == "call"} == {
        1_700_000_000_002
    }
