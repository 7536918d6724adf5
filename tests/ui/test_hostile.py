"""Texts that would run in a careless page, through each adapter, into each field that is shown.

`open_page` fails a test for each dialog, error of the policy, and request to another host.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.ui.conftest import Open

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

CORPUS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><iframe srcdoc="<script>alert(1)</script>">',
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "<a href='jav&#x09;ascript:alert(1)'>x</a>",
    "{{constructor.constructor('alert(1)')()}}",
    "</textarea><script>alert(1)</script>",
    "\u202e\u2066<b onmouseover=alert(1)>rtl",
    "`<img src=x onerror=alert(1)>`",
)
TEXT = "\n\n".join(CORPUS)


def write_all(api: httpx.Client) -> dict[str, str]:
    """One trace through each adapter; their ids."""
    name = CORPUS[1]
    hostile_object = dict.fromkeys(CORPUS, TEXT)
    headers = {"x-spanloom-project": "hostile"}

    def post(path: str, body: Any) -> Any:
        answer = api.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    native = {
        "traceId": "native", "spanId": "1", "name": name, "kind": "SPAN_KIND_MODEL",
        "input": hostile_object, "output": TEXT, "systemInstructions": TEXT,
        "inputMessages": [{"role": name, "parts": [{"text": TEXT}]}],
        "outputMessages": [{"role": "assistant", "parts": [
            {"text": TEXT}, {"reasoning": TEXT},
            {"toolRequest": {"name": name, "callId": "c", "arguments": hostile_object}},
            {"media": {"mimeType": "image/svg+xml", "data": "PHN2Zy8+"}},
            {"media": {"mimeType": "image/png", "uri": "http://evil.example/x.png"}}]}],
        "agent": {"name": name, "version": name}, "model": {"requestModel": name},
        "user": {"id": name, "name": TEXT[:200]}, "feature": name, "conversationId": name,
        "environment": name, "metadata": hostile_object,
        "attributes": {key: {"stringValue": TEXT} for key in CORPUS},
        "events": [{"time": "2026-11-27T00:00:00Z", "name": name,
                    "attributes": {name: {"stringValue": TEXT}}}],
        "status": {"code": "STATUS_CODE_ERROR", "message": TEXT, "errorType": name},
    }  # fmt: skip
    post("/v1/spans:write", {"spans": [native]})
    tool = {
        "traceId": "native", "spanId": "2", "parentSpanId": "1", "name": name,
        "kind": "SPAN_KIND_TOOL", "tool": {"name": name}, "input": hostile_object, "output": TEXT,
    }  # fmt: skip
    post("/v1/spans:write", {"spans": [tool]})
    basalt = post(
        "/monitor/trace",
        {"featureSlug": "hostile", "name": name, "input": TEXT, "output": TEXT,
         "metadata": hostile_object},
    )  # fmt: skip
    honeyhive = {
        "event_type": "model", "event_name": name, "source": name, "session_id": "hh-session",
        "inputs": {"chat_history": [{"role": "user", "content": TEXT}]},
        "outputs": {"role": "assistant", "content": TEXT}, "metadata": hostile_object,
        "error": TEXT, "config": {"model": name, "provider": name},
    }  # fmt: skip
    post("/events", {"event": honeyhive})
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": name}},
        {"key": "gen_ai.prompt", "value": {"stringValue": TEXT}},
        *({"key": key, "value": {"stringValue": TEXT}} for key in CORPUS),
    ]
    otlp = {
        "traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcdef", "name": name,
        "startTimeUnixNano": "1795370650000000000", "endTimeUnixNano": "1795370651000000000",
        "attributes": attributes, "status": {"code": 2, "message": TEXT},
    }  # fmt: skip
    post("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [otlp]}]}]})
    review = {"target": {"traceId": "native"}, "name": name[:256], "comment": TEXT, "label": name}
    answer = api.put("/v1/reviews/hostile", json=review, headers=headers)
    assert answer.status_code == 200, answer.text
    listed = api.get("/v1/traceSummaries", params={"pageSize": "100"}, headers=headers).json()[
        "traceSummaries"
    ]
    assert len(listed) >= 4
    assert basalt["trace"]["id"] in {trace["traceId"] for trace in listed}
    return {trace["traceId"]: trace.get("conversationId", "") for trace in listed}


def test_nothing_that_was_sent_runs(open_page: Open, api: httpx.Client) -> None:
    ids = write_all(api)
    page = open_page("p/hostile/traces?last=all")
    expect(page.get_by_role("grid", name="Traces").get_by_text(CORPUS[1]).first).to_be_visible()
    base = page.url.partition("/p/")[0]
    for trace_id in ids:
        for tab in ("io", "attributes", "events", "feedback", "raw"):
            page.goto(f"{base}/p/hostile/traces/{trace_id}?tab={tab}")
            expect(page.get_by_role("tabpanel")).to_be_visible()
            for row in page.get_by_role("treegrid").get_by_role("row").all()[1:]:
                row.click()
                expect(page.get_by_role("tabpanel")).to_be_visible()
        # As Markdown, folded parts opened.
        page.goto(f"{base}/p/hostile/traces/{trace_id}")
        expect(page.get_by_role("tabpanel")).to_be_visible()
        page.get_by_role("button", name="Markdown", exact=True).click()
        for summary in page.locator("main details.folded > summary").all():
            summary.click()
        page.get_by_role("button", name="Markdown", exact=True).click()
    for path in ("sessions?last=all", "search?q=alert&last=all", "overview?last=all&by=agent"):
        page.goto(f"{base}/p/hostile/{path}")
        expect(page.get_by_text("onerror=alert(1)").first).to_be_visible()
    assert page.locator("main script, main iframe, main svg[onload], main [onerror]").count() == 0


def test_markdown_links_only_to_web_addresses_and_loads_nothing(
    open_page: Open, api: httpx.Client
) -> None:
    write_all(api)
    page = open_page("p/hostile/traces/native?span=1&view=detail")
    page.get_by_role("button", name="Markdown", exact=True).click()
    link = page.get_by_role("link", name="image: x").first
    expect(link).to_have_attribute("href", "http://evil.example/x.png")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    for anchor in page.locator(".markdown a").all():
        assert (anchor.get_attribute("href") or "").startswith(("http://", "https://", "mailto:"))


def test_characters_that_are_not_seen_can_be_shown(open_page: Open, api: httpx.Client) -> None:
    write_all(api)
    page = open_page("p/hostile/traces/native?span=1&view=detail")
    page.get_by_role("button", name="invisible character").first.click()
    expect(page.get_by_text("⟨U+202E⟩⟨U+2066⟩").first).to_be_visible()
