"""A trace of 40,000 spans, and a message of 20 MB: the page stays usable, and hides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.ui.conftest import Open

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

SPANS = 40_000
LONG = 20_000_000


def time_of(at: int) -> str:
    """The start of a span: each begins a tenth of a second after the one before."""
    return f"2026-11-27T{at // 36_000:02}:{at // 600 % 60:02}:{at % 600 / 10:06.3f}Z"


@pytest.fixture(scope="module")
def large(web_server: object) -> Iterator[httpx.Client]:
    """A client after both were written."""
    address = web_server.running.http_address  # type: ignore[attr-defined]
    key = web_server.key()  # type: ignore[attr-defined]
    headers = {"authorization": f"Bearer {key}", "x-spanloom-project": "large"}
    with httpx.Client(
        base_url=f"http://{address}", headers=headers, trust_env=False, timeout=120
    ) as client:
        for first in range(0, SPANS, 10_000):
            spans = [
                {
                    "traceId": "large",
                    "spanId": f"s{at}",
                    "parentSpanId": f"s{(at - 1) // 50}" if at else "",
                    "name": f"step {at}",
                    "kind": "SPAN_KIND_TOOL" if at % 50 else "SPAN_KIND_STEP",
                    "startTime": time_of(at),
                    "duration": "0.05s" if at else "10000s",
                    "status": {"code": "STATUS_CODE_ERROR" if at == 39_000 else "STATUS_CODE_OK"},
                }
                for at in range(first, first + 10_000)
            ]
            assert client.post("/v1/spans:write", json={"spans": spans}).status_code == 200
        text = "word " * (LONG // 5)
        span = {"traceId": "long", "spanId": "1", "name": "long", "input": text}
        assert client.post("/v1/spans:write", json={"spans": [span]}).status_code == 200
        yield client


def test_all_spans_are_there_and_few_are_drawn(large: httpx.Client, open_page: Open) -> None:
    page = open_page("p/large/traces/large?view=spans,detail")
    expect(page.get_by_text("40,000 spans", exact=True)).to_be_visible(timeout=60_000)
    tree = page.get_by_role("treegrid", name="Spans")
    expect(tree).to_have_attribute("aria-rowcount", "40001")
    assert page.locator("*").count() <= 1500
    page.keyboard.press("e")
    expect(tree.get_by_role("row", selected=True)).to_contain_text("step 39000")
    assert page.locator("*").count() <= 1500
    page.keyboard.press("o")
    expect(tree).to_have_attribute("aria-rowcount", "2")


def test_a_cold_link_into_the_middle_shows_the_span(large: httpx.Client, open_page: Open) -> None:
    page = open_page("p/large/traces/large?span=s30001&view=spans,detail")
    row = page.get_by_role("treegrid", name="Spans").get_by_role("row", selected=True)
    expect(row).to_contain_text("step 30001", timeout=60_000)
    expect(row).to_be_in_viewport()
    detail = page.get_by_role("region", name="Span", exact=True)
    expect(detail.get_by_role("heading", level=2)).to_have_text("step 30001")


def test_a_long_text_says_what_is_missing_and_goes_on(large: httpx.Client, open_page: Open) -> None:
    page = open_page("p/large/traces/long?span=1&view=detail")
    expect(page.get_by_text("65,536 of 20,000,000 characters")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Read on").click()
    expect(page.get_by_text(re.compile(r"327,680 of 20,000,000"))).to_be_visible()
