"""The web page's budgets: sizes, times and nodes, in a headless Chromium on the same machine.

`python -m bench.page --traces 1000000` fills a store first, which takes minutes. Each figure is the
middle of three.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.server import Server
from spanloom.server.ui.files import BUILT

TRIES = 3
SPANS = 100_000
LONG = 20_000_000
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Waits between two frames, in milliseconds, while the list is scrolled by one screen a frame.
SCROLL = """async (box) => {
  const waits = [];
  let last = performance.now();
  for (let at = 0; at < 120; at++) {
    box.scrollTop += box.clientHeight;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    waits.push(now - last);
    last = now;
  }
  waits.sort((a, b) => a - b);
  return waits[Math.floor(waits.length * 0.95)];
}"""


def show(name: str, measured: float, budget: float, unit: str) -> None:
    verdict = "within" if measured <= budget else "OVER"
    print(f"{name:<52}{measured:>10,.4g} {unit:<6} budget {budget:>8,g}  {verdict}", flush=True)


def sizes() -> None:
    """What the first page loads, and all code but that of libraries."""
    page = (BUILT / "index.html").read_text()
    first = [BUILT / name for name in re.findall(r'"\./(a/[^"]+)"', page)]
    packed = {f: len(gzip.compress(f.read_bytes())) for f in (BUILT / "a").iterdir()}
    show("first page, gzip", (sum(packed[f] for f in first) + len(page)) / 1000, 90, "kB")
    own = sum(
        size
        for f, size in packed.items()
        if f.suffix == ".js" and not f.name.startswith("library-")
    )
    show("JavaScript of all pages without libraries, gzip", own / 1000, 60, "kB")


def write(client: httpx.Client, spans: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for span in spans:
        batch.append(span)
        if len(batch) == 5_000:
            client.post("/v1/spans:write", json={"spans": batch}).raise_for_status()
            batch = []
    if batch:
        client.post("/v1/spans:write", json={"spans": batch}).raise_for_status()


def traces(number: int) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    for at in range(number):
        start = now - timedelta(seconds=6 * 86_400 * at / number)
        yield {
            "traceId": f"t{at}", "spanId": "1", "name": f"agent {at % 7}", "kind": "SPAN_KIND_AGENT",
            "startTime": start.isoformat(), "duration": f"{at % 90 / 10 + 0.1:.3f}s",
            "input": f"question {at}", "output": f"answer {at}", "user": {"id": f"u{at % 500}"},
            "status": {"code": "STATUS_CODE_ERROR" if at % 50 == 0 else "STATUS_CODE_OK"},
        }  # fmt: skip


def large_trace() -> Iterator[dict[str, Any]]:
    base = datetime.now(UTC) - timedelta(hours=4)
    for at in range(SPANS):
        yield {
            "traceId": "large", "spanId": f"s{at}", "name": f"step {at}",
            "parentSpanId": f"s{(at - 1) // 40}" if at else "",
            "kind": "SPAN_KIND_TOOL" if at % 40 else "SPAN_KIND_STEP",
            "startTime": (base + timedelta(milliseconds=100 * at)).isoformat(),
            "duration": "0.08s" if at else "10000s",
            "status": {"code": "STATUS_CODE_OK"},
        }  # fmt: skip


def middle(browser: Browser, measure: Callable[[Page], float]) -> float:
    found = []
    for _ in range(TRIES):
        context = browser.new_context(viewport={"width": 1440, "height": 860})
        context.set_default_timeout(60_000)
        found.append(measure(context.new_page()))
        context.close()
    return statistics.median(found)


def until_visible(page: Page, address: str, selector: str) -> float:
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(selector).first.wait_for()
    return time.perf_counter() - started


def longest_wait(address: str, work: Callable[[], object]) -> float:
    """The longest answer of /healthz while something else is done, in milliseconds."""
    stop, waits = threading.Event(), [0.0]

    def ask() -> None:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            while not stop.is_set():
                started = time.perf_counter()
                client.get("/healthz")
                waits.append((time.perf_counter() - started) * 1000)
                time.sleep(0.005)

    asking = threading.Thread(target=ask)
    asking.start()
    work()
    stop.set()
    asking.join()
    return max(waits)


def of_list(browser: Browser, root: str, number: int) -> None:
    address = f"{root}p/default/traces"
    painted = middle(browser, lambda page: until_visible(page, address, ".trace-row.head, .bone"))
    show(f"list of {number:,} traces: first paint", painted, 0.6, "s")
    usable = middle(browser, lambda page: until_visible(page, address, "#row-5"))
    show(f"list of {number:,} traces: usable", usable, 1.0, "s")


def of_large(browser: Browser, root: str) -> None:
    address = f"{root}p/default/traces/large?view=spans,detail"
    rows = middle(browser, lambda page: until_visible(page, address, "#span-5"))
    show("trace of 100,000 spans: first rows", rows, 1.0, "s")
    whole = "text=/^100,000 spans$/"
    show("trace of 100,000 spans: all", middle(browser, lambda p: until_visible(p, address, whole)), 2.0, "s")  # fmt: skip

    page = browser.new_page(viewport={"width": 1440, "height": 860})
    until_visible(page, address, whole)
    show(
        "  wait between frames while scrolling, p95",
        page.locator(".span-list").evaluate(SCROLL),
        34,
        "ms",
    )
    started = time.perf_counter()
    page.keyboard.press("o")
    expect(page.locator(".span-list")).to_have_attribute("aria-rowcount", "2")
    show(
        "  fold all, with the round trip of the test",
        (time.perf_counter() - started) * 1000,
        100,
        "ms",
    )
    page.keyboard.press("o")
    show("  nodes", page.locator("*").count(), 1500, "")
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
    show("  heap", heap / 1e6, 120, "MB")
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--traces", type=int, default=20_000)
    given = parser.parse_args()
    sizes()
    if CHROMIUM is None:
        sys.exit("no Chromium is installed")
    with (
        tempfile.TemporaryDirectory() as home,
        Server(f"sqlite:///{home}/bench.db") as server,
        httpx.Client(
            base_url=f"http://{server.http_address}", trust_env=False, timeout=120
        ) as client,
        sync_playwright() as playwright,
    ):
        write(client, traces(given.traces))
        write(client, large_trace())
        long = {"traceId": "long", "spanId": "1", "name": "long", "input": "word " * (LONG // 5)}
        write(client, iter([long]))
        time.sleep(5)  # the index is behind the writes
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        root = f"http://{server.http_address}/ui/"
        of_list(browser, root, given.traces)
        of_large(browser, root)
        text = f"{root}p/default/traces/long?span=1&view=detail"
        opened: list[float] = []

        def open_text() -> None:
            opened.append(middle(browser, lambda p: until_visible(p, text, "text=/of 20,000,000/")))

        waited = longest_wait(server.http_address, open_text)
        show("message of 20 MB: first window", opened[0], 0.4, "s")
        show("  longest wait of /healthz meanwhile", waited, 150, "ms")
        browser.close()


if __name__ == "__main__":
    main()
