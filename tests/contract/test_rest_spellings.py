"""Old and new paths, and the bodies that clients really send, over REST."""

from __future__ import annotations

import json
from typing import Any

from tests.clients import HttpClient
from tests.contract.conftest import Project


def test_old_and_new_paths_take_what_clients_send(project: Project) -> None:
    http = HttpClient(project.server.running.http_address)
    keyed = {"authorization": f"Bearer {project.key}"}

    def call(verb: str, path: str, body: Any = None) -> Any:
        answer = http.http.request(verb, path, json=body, headers=keyed)
        assert answer.status_code == 200, answer.text
        return answer.json()

    as_text = {"session": json.dumps({"session_id": "s1", "session_name": "text"})}
    assert call("POST", "/session/start", as_text)["event_name"] == "text"
    bare = call("POST", "/session/start", {"session_name": "bare", "source": "x"})
    assert bare["event_name"] == "bare"
    again = call("POST", "/v1/sessions", {"session_id": "s1", "metadata": {"a": 1.0}})
    assert (again["event_name"], again["metadata"]) == ("text", {"a": 1})
    event = {"event_type": "model", "event_id": "e1", "inputs": {}, "start_time": 1.7e12}
    assert call("POST", "/events", {"event": json.dumps(event)})["event_id"] == "e1"
    assert call("PUT", "/events", {"event_id": "e1", "metadata": {"x": 1}}) == {"success": True}
    assert call("PUT", "/v1/events/e1", {"metadata": {"y": 2}}) == {"success": True}
    assert call("GET", "/v1/events/e1")["event"]["metadata"] == {"x": 1, "y": 2}
    filters = json.dumps(
        [{"field": "metadata.x", "operator": "is", "value": "1", "type": "number"}]
    )
    dates = json.dumps({"$gte": "2020-01-01T00:00:00Z"})
    for path in ("/events", "/v1/events"):
        answer = http.http.get(
            path, params={"filters": filters, "dateRange": dates, "limit": 5}, headers=keyed
        ).json()
        assert (answer["totalEvents"], answer["count"]) == (1, 1)
    logs = {"logs": [{"event_type": "tool", "inputs": {}}]}
    assert call("POST", "/session/s1/traces", logs)["session_id"] == "s1"
    assert call("POST", "/v1/sessions/s1/events/batch", {"events": logs["logs"]})["success"]
    assert call("GET", "/v1/events/schema")["mappings"] == {}
    for path in ("/events/chart", "/v1/events/chart"):
        assert call("GET", path)["totalEvents"] == 5
    assert call("DELETE", "/events/e1") == {"success": True, "deleted": "e1"}
    assert call("DELETE", "/session/s1") == {"success": True, "deleted": "s1"}
    http.close()
