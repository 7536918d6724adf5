"""Weave's typed client against a live server, which validates every answer by its own schemas."""

from __future__ import annotations

from spanloom.model import Span
from tests.parts import parts
from tests.sdk.conftest import RunScript
from tests.servers import LiveServer

CLIENT = "weave==0.54.0"


def test_the_typed_client_accepts_every_answer(server: LiveServer, run_script: RunScript) -> None:
    key = server.key("weave")
    body = {
        "input_messages": [{"role": "user", "content": "hello"}],
        "output_messages": [{"role": "assistant", "content": "hi"}],
    }
    span = Span(
        trace_id="t",
        span_id="s",
        event_id="s",
        session_id="c",
        operation="chat",
        kind="model",
        agent_name="Ada",
        model="m",
        start_ns=10**9,
        end_ns=2 * 10**9,
        input_tokens=5,
        **parts(body),
    )
    server.run(server.running.store.write_spans("weave", [span]))
    url = f"http://{server.running.http_address}"
    named = {"URL": url, "KEY": key, "PROJECT": "weave", "TRACE": "t", "CONVERSATION": "c"}
    got = run_script(CLIENT, "weave_client.py", **named)
    assert got["replace"]["id"] == got["create"]["id"]
    assert (got["query"]["total_count"], got["left"]["total_count"]) == (3, 2)
    assert got["stats"]["window_stats"] == {"output_score": {"avg": 0.5, "min": 0.5, "max": 0.5}}
    assert got["aggregate"]["buckets"][0]["tag_counts"] == {"rude": 1}
    assert [path["json_path"] for path in got["schema"]["paths"]] == ["output.ok", "output.score"]
    [conversation] = got["conversation_spans"]["conversations"]
    assert [each["span_id"] for each in conversation["spans"]] == ["s"]
    [found] = got["spans"]["spans"]
    assert (found["agent_name"], found["input_tokens"]) == ("Ada", 5)
    assert found["output_messages"][0]["content"] == "hi"
    [group] = got["groups"]["groups"]
    assert (group["group_keys"], group["metrics"]) == ({"agent": "Ada"}, {"most": 5})
    assert group["first_message"] == {"role": "user_message", "text": "hello"}
    [row] = got["span_stats"]["rows"]
    assert (row["agent_name"], row["sum_tokens"], row["p95_tokens"]) == ("Ada", 5, 5)
    assert [one["count"] for one in got["span_bins"]["rows"]] == [1]
    assert got["not_called"] == []
