"""The reads of a soak: calls of all classes, at a pace."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.history.client import Call, Client, Outcome
from tests.history.servers import PROJECT, Server, Servers
from tests.soak.ledger import Ledger, span_ids, trace_id
from tests.soak.samples import Calls

_EARLIER_SECONDS = 3600


def _since() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - _EARLIER_SECONDS))


def _of_trace(end: str) -> Callable[[int], Call]:
    return lambda number: Call("GET", f"/v1/traces/{trace_id(number)}{end}")


# Each is given the number of a batch of the ledger.
READS: tuple[Callable[[int], Call], ...] = (
    _of_trace(""),
    _of_trace("/outline"),
    _of_trace("/summary"),
    _of_trace("/messages"),
    lambda number: Call("GET", f"/v1/traces/{trace_id(number)}/spans/{span_ids(number)[0]}"),
    lambda number: Call("GET", f"/v1/events/{span_ids(number)[-1]}"),
    lambda number: Call("GET", f"/v1/traces/{trace_id(number)}/spans:search?text=refund"),
    lambda number: Call("GET", "/v1/spans?page_size=100"),
    lambda number: Call("GET", "/v1/traces?page_size=50"),
    lambda number: Call("GET", "/v1/traceSummaries?page_size=50"),
    lambda number: Call("GET", "/v1/conversations?page_size=50"),
    lambda number: Call("GET", "/v1/messages:search?text=Tokyo%20refund"),
    lambda number: Call("GET", "/v1/traceSummaries:count"),
    lambda number: Call("GET", f"/v1/usage?start_time_from={_since()}"),
    lambda number: Call("GET", "/v1/events/chart"),
    lambda number: Call("POST", "/v1/events/search", {"filters": [], "limit": 100}),
    lambda number: Call(
        *("POST", "/agents/traces/chat"),
        {"project_id": PROJECT, "trace_id": trace_id(number)},
    ),
)


def read(
    servers: Servers,
    key: str,
    ledger: Ledger,
    calls: Calls,
    seconds: float,
    seed: int,
    stop: threading.Event,
) -> None:
    """Read at random, so many seconds after each other on average; a reader's thread."""
    rng = random.Random(seed)
    client = Client(key, rng)
    while not stop.wait(rng.uniform(0, 2 * seconds)):
        number, up = ledger.some(rng), servers.up()
        if number is not None and up:
            call = rng.choice(READS)(number)
            answer = client.call(up[0], call)
            calls.add(call, answer)
            if answer.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN):
                client.close()
    client.close()


def all_spans(server: Server, key: str) -> Iterator[dict[str, Any]]:
    """Every span of the project, page by page."""
    client = Client(key, random.Random(0))
    token = ""
    while True:
        path = f"/v1/spans?view=SPAN_VIEW_BASIC&page_size=1000&page_token={token}"
        answer = client.call(server, Call("GET", path), timeout=120)
        assert answer.outcome is Outcome.OK, answer.text
        yield from answer.body.get("spans", ())
        token = answer.body.get("nextPageToken", "")
        if not token:
            break
    client.close()
