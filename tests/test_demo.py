"""`spanloom demo`: the same runs each time, of every kind that the web page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from spanloom.operations.demo import fill
from tests.servers import LiveServer


def test_a_second_call_replaces_what_the_first_one_wrote(tmp_path: Path) -> None:
    with LiveServer(database=f"sqlite:///{tmp_path}/spanloom.db", log_level="error") as server:

        async def write() -> int:
            store = server.running.store
            return [number async for number in fill(store, "demo", traces_per_day=3)][-1]

        with httpx.Client(
            base_url=f"http://{server.running.http_address}",
            headers={"authorization": f"Bearer {server.key('demo', 'read')}"},
            trust_env=False,
        ) as client:

            def stored() -> dict[str, Any]:
                def ask(path: str, **query: Any) -> Any:
                    return client.get(path, params=query).raise_for_status().json()

                spans: list[tuple[str, str, str]] = []
                token = ""
                while True:
                    page = ask("/v1/spans", view="SPAN_VIEW_BASIC", pageSize=1000, pageToken=token)
                    spans += [(s["traceId"], s["spanId"], s["name"]) for s in page["spans"]]
                    token = page["nextPageToken"]
                    if not token:
                        break
                reviews = ask("/v1/reviews", source="REVIEW_SOURCE_PERSON", pageSize=1000)
                return {
                    "spans": sorted(spans),
                    "reviews": sorted(one["reviewId"] for one in reviews["reviews"]),
                    "experiments": len(ask("/v1/experiments")["experiments"]),
                    "prompts": ask("/v1/prompts")["prompts"],
                    "rows": len(ask("/v1/datasets/demo-questions")["dataset"]["rows"]),
                }

            number = server.run(write())
            first = stored()
            assert number == len({trace_id for trace_id, _, _ in first["spans"]})
            assert first["reviews"]
            assert (first["experiments"], first["rows"]) == (2, 6)
            assert server.run(write()) == number
            assert stored() == first
