"""Large answers of REST are compressed for clients that accept it."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.servers import LiveServer

LARGE = "a long text " * 20_000


def test_a_large_answer_is_compressed_and_a_small_one_is_not(tmp_path: Path) -> None:
    with (
        LiveServer(database=f"sqlite:///{tmp_path}/spanloom.db", log_level="error") as server,
        httpx.Client(
            base_url=f"http://{server.running.http_address}",
            headers={"authorization": f"Bearer {server.key('default')}"},
            trust_env=False,
        ) as client,
    ):
        spans = [
            {"traceId": "t", "spanId": name, "input": text}
            for name, text in (("large", LARGE), ("small", "short"))
        ]
        assert client.post("/v1/spans:write", json={"spans": spans}).status_code == 200
        packed = client.get("/v1/traces/t/spans/large", headers={"accept-encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "accept-encoding"
        assert int(packed.headers["content-length"]) < len(LARGE) // 10
        assert packed.json()["span"]["input"] == LARGE
        for accepted in ("identity", "gzip;q=0", "br"):
            headers = {"accept-encoding": accepted}
            plain = client.get("/v1/traces/t/spans/large", headers=headers)
            assert "content-encoding" not in plain.headers
            assert plain.content == packed.content
        small = client.get("/v1/traces/t/spans/small", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in small.headers
