"""What a person does on the pages, by what they see and by the keyboard."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.ui.conftest import Open, first

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect


def first_trace(api: httpx.Client, **conditions: str) -> dict[str, Any]:
    query = {f"filter.{name}": value for name, value in conditions.items()}
    return first(api, "/v1/traceSummaries", "traceSummaries", query)


def test_a_key_signs_in_and_leads_back(open_page: Open, root: str, web_server: Any) -> None:
    """Chromium logs each 401 as an error."""
    page = open_page("p/demo/sessions?last=all", role="", allowed="401")
    expect(page.get_by_label("API key")).to_be_visible()
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("API key").fill(web_server.key("demo", "read"))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{root}p/demo/sessions?last=all")
    expect(page.get_by_role("grid", name="Sessions")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("read", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_printed_link_signs_in_and_leaves_no_token(
    open_page: Open, root: str, link_token: str
) -> None:
    page = open_page(f"login#{link_token}", role="")
    expect(page).to_have_url(re.compile(r"/ui/p/\w+/traces$"))
    page.go_back()
    assert link_token not in page.url


def test_filters_are_in_the_address_and_back(open_page: Open) -> None:
    page = open_page("p/demo/traces")
    rows = page.get_by_role("grid", name="Traces").get_by_role("row")
    expect(rows.nth(1)).to_be_visible()
    page.get_by_role("button", name="has error").click()
    expect(page).to_have_url(re.compile(r"error=1"))
    page.get_by_label("Condition", exact=True).select_option("agent")
    page.get_by_label("Value").fill("shop-support")
    page.get_by_role("button", name="Add").click()
    expect(page).to_have_url(re.compile(r"agent=shop-support"))
    expect(rows.nth(1)).to_contain_text("shop-support")
    page.reload()
    expect(page.get_by_role("button", name="agent shop-support")).to_be_visible()
    page.get_by_role("button", name="agent shop-support").click()
    expect(page).not_to_have_url(re.compile(r"agent="))
    page.go_back()
    expect(page).to_have_url(re.compile(r"agent=shop-support"))
    page.get_by_label("Text in names").fill("no such text anywhere")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No trace meets all conditions")).to_be_visible()


def test_a_value_in_a_row_filters(open_page: Open) -> None:
    page = open_page("p/demo/traces")
    grid = page.get_by_role("grid", name="Traces")
    model = grid.get_by_role("button", name="gpt-4o-mini").first
    model.click()
    expect(page).to_have_url(re.compile(r"model=gpt-4o-mini"))
    expect(page.get_by_role("button", name="model gpt-4o-mini")).to_be_visible()


def test_new_traces_appear_by_themselves(open_page: Open, api: httpx.Client) -> None:
    page = open_page("p/live/traces")
    expect(page.get_by_text("Nothing has arrived yet")).to_be_visible()
    spans = {"spans": [{"traceId": "one", "spanId": "1", "name": "arrived live"}]}
    # Written until it is seen: the first poll may come after the first write.
    row = page.get_by_text("arrived live")
    for turn in range(20):
        spans["spans"][0]["spanId"] = str(turn)
        spans["spans"][0]["traceId"] = f"trace {turn}"
        api.post("/v1/spans:write", json=spans, headers={"x-spanloom-project": "live"})
        try:
            row.first.wait_for(timeout=3000)
            break
        except Exception:  # noqa: BLE001 - not yet
            continue
    expect(row.first).to_be_visible()


def test_chat_waterfall_and_span_are_linked(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api, agentName="researcher")
    page = open_page(f"p/demo/traces/{trace['traceId']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("researcher")
    row = page.get_by_role("treegrid", name="Spans").get_by_role("row", name="web_search").first
    row.click()
    expect(page).to_have_url(re.compile(r"span=\w+"))
    expect(row).to_have_attribute("aria-selected", "true")
    detail = page.get_by_role("region", name="Span", exact=True)
    expect(detail.get_by_role("heading", level=2)).to_have_text("web_search")
    page.get_by_role("button", name="Assistant").first.click()
    expect(detail.get_by_role("heading", level=2)).to_contain_text("chat")
    page.reload()
    expect(detail.get_by_role("heading", level=2)).to_contain_text("chat")


def test_the_keyboard_alone_finds_the_error(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api, hasError="true")
    page = open_page("p/demo/traces?error=1")
    expect(page.get_by_role("grid", name="Traces").get_by_role("row").nth(1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(trace["traceId"])))
    tree = page.get_by_role("treegrid", name="Spans")
    expect(tree.get_by_role("row").nth(1)).to_be_visible()
    page.keyboard.press("e")
    selected = tree.get_by_role("row", selected=True)
    expect(selected).to_have_accessible_name(re.compile("error"))
    page.keyboard.press(".")
    expect(page).to_have_url(re.compile("only=errors"))
    page.keyboard.press("o")
    expect(tree.get_by_role("row")).to_have_count(2)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_find_counts_and_walks(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api, agentName="code-fixer")
    page = open_page(f"p/demo/traces/{trace['traceId']}")
    expect(page.get_by_role("treegrid", name="Spans").get_by_role("row").nth(1)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("decimal separator")
    page.keyboard.press("Enter")
    hits = page.get_by_role("search").get_by_role("status")
    expect(hits).to_have_text(re.compile(r"^[1-9]\d* spans$"))
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(r"find=decimal"))
    expect(page).to_have_url(re.compile(r"span=\w+"))


def test_feedback_is_one_key_and_can_be_taken_back(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api, agentName="researcher")
    path = f"p/demo/traces/{trace['traceId']}?tab=feedback"
    page = open_page(path, role="review", project="demo")
    expect(page.get_by_role("button", name="▲ Good")).to_be_visible()
    page.get_by_role("treegrid").get_by_role("row").nth(1).click()
    page.keyboard.press("+")
    expect(page.get_by_role("status").filter(has_text="judged good")).to_be_visible()
    page.reload()
    good = page.get_by_text("▲ good", exact=True)
    expect(good).to_be_visible()
    page.get_by_role("button", name="Delete").first.click()
    expect(good).not_to_be_visible()


def test_a_key_that_only_reads_is_offered_no_feedback(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api)
    page = open_page(f"p/demo/traces/{trace['traceId']}", role="read", project="demo")
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    expect(page.get_by_role("button", name="Judge good")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


def test_a_running_trace_grows_and_ends(open_page: Open, api: httpx.Client) -> None:
    def write(span_id: str, **fields: Any) -> None:
        span = {"traceId": "growing", "spanId": span_id, "name": span_id, **fields}
        assert api.post("/v1/spans:write", json={"spans": [span]}).status_code == 200

    write("root", startTime="2026-11-28T00:00:00Z")
    page = open_page("p/demo/traces/growing")
    tree = page.get_by_role("treegrid", name="Spans")
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    tree.get_by_role("row").nth(1).click()
    write("child", parentSpanId="root", startTime="2026-11-28T00:00:01Z", duration="1s")
    expect(tree.get_by_role("row", name="child")).to_be_visible()
    expect(tree.get_by_role("row", selected=True)).to_contain_text("root")
    write("root", startTime="2026-11-28T00:00:00Z", endTime="2026-11-28T00:00:09Z",
          status={"code": "STATUS_CODE_OK"})  # fmt: skip
    expect(page.get_by_text("ok", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("p/demo/sessions", "shop-support"),
        ("p/demo/search?q=refund&last=all", "found in"),
        ("p/demo/overview", "model calls"),
        ("p/demo/experiments", "prompt 1.3 (demo)"),
        ("p/demo/library", "Support agent (demo)"),
        ("p/demo/library/prompts/demo-support", "Compare with 1.2.0"),
        ("p/demo/library/datasets/demo-questions", "Where is my order A70000"),
        ("p/demo/compare?a=prompt:demo-support@1.1.0&b=prompt:demo-support@1.3.0", "outdoor gear"),
        ("settings", "Signed in"),
        ("p/demo/nothing", "There is no such page"),
    ],
)
def test_every_page_has_its_contents(open_page: Open, path: str, text: str) -> None:
    page = open_page(path)
    expect(page.get_by_text(text).first).to_be_visible()


def test_short_links_find_the_project(open_page: Open, api: httpx.Client) -> None:
    trace = first_trace(api)
    trace_id = trace["traceId"]
    spans = api.get(f"/v1/traces/{trace_id}/spans", params={"view": "SPAN_VIEW_BASIC"}).json()
    span_id = spans["spans"][1]["spanId"]
    # The project `default` is asked first, and has neither.
    page = open_page(f"t/{trace_id}", allowed="404")
    expect(page).to_have_url(re.compile(rf"/p/demo/traces/{trace_id}$"))
    page = open_page(f"s/{span_id}", allowed="404")
    expect(page).to_have_url(re.compile(rf"/p/demo/traces/{trace_id}\?span={span_id}$"))


def test_two_traces_and_two_experiments_are_compared(open_page: Open) -> None:
    page = open_page("p/demo/traces?agent=shop-support")
    expect(page.get_by_role("grid", name="Traces").get_by_role("row").nth(2)).to_be_visible()
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_text("messages differ")).to_be_visible()
    page.goto(page.url.partition("/p/")[0] + "/p/demo/experiments")
    page.get_by_role("checkbox").nth(0).check()
    page.get_by_role("checkbox").nth(1).check()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_text("6 cases")).to_be_visible()
