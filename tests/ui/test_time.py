"""The time axis of a trace: its critical path, its map, its gaps."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.ui.conftest import SCREENSHOTS, Open

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

# Name -> parent, start and duration in seconds: two roots, between which nothing runs for a minute.
SPANS = {
    "ask": ("", 0.0, 10.0),
    "quick": ("ask", 1.0, 2.0),
    "slow": ("ask", 1.0, 8.0),
    "inner": ("slow", 2.0, 6.0),
    "later": ("", 70.0, 10.0),
}


@pytest.fixture
def timed(api: httpx.Client) -> str:
    """The path of a trace with these spans."""
    spans = [
        {
            "traceId": "timed", "spanId": name, "name": name, "parentSpanId": parent,
            "kind": "SPAN_KIND_TOOL" if parent else "SPAN_KIND_AGENT",
            "startTime": f"2026-11-27T10:{int(start) // 60:02}:{start % 60:06.3f}Z",
            "duration": f"{duration}s", "status": {"code": "STATUS_CODE_OK"},
        }
        for name, (parent, start, duration) in SPANS.items()
    ]  # fmt: skip
    assert api.post("/v1/spans:write", json={"spans": spans}).status_code == 200
    return "p/demo/traces/timed?view=spans"


def test_the_critical_path_is_marked_and_can_be_shown_alone(open_page: Open, timed: str) -> None:
    page = open_page(timed)
    tree = page.get_by_role("treegrid", name="Spans")
    slow = tree.get_by_role("row", name="slow")
    expect(slow).to_have_accessible_name(re.compile(r"on the critical path, 2\.00 s of its own$"))
    expect(tree.get_by_role("row", name="quick")).to_have_accessible_name("tool, quick, 2.00 s")
    page.get_by_role("button", name="critical path").click()
    expect(page).to_have_url(re.compile("only=critical"))
    expect(tree.get_by_role("row", name="quick")).to_have_count(0)
    expect(tree.get_by_role("row", name="inner")).to_be_visible()


def test_the_range_of_time_is_chosen_by_map_inputs_and_key(open_page: Open, timed: str) -> None:
    page = open_page(timed)
    start, end = page.get_by_label("from", exact=True), page.get_by_label("to", exact=True)
    expect(end).to_have_value("80")
    box = page.locator(".map").bounding_box()
    assert box is not None

    def drag(begin: float, stop: float) -> None:
        across = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * begin, across)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * stop, across, steps=4)
        page.mouse.up()

    drag(0.3, 0.1)
    expect(page).to_have_url(re.compile(r"range=\d+(\.\d+)?-\d+(\.\d+)?$"))
    expect(end).not_to_have_value("80")
    start.fill("2")
    start.press("Enter")
    end.fill("8")
    end.press("Enter")
    expect(page).to_have_url(re.compile(r"range=2000-8000$"))
    page.reload()
    expect(start).to_have_value("2")
    bar = page.get_by_role("row", name="inner").locator(".bar-of")
    expect(bar).to_have_attribute("style", re.compile(r"left: 0%; width: 100%"))
    page.get_by_role("row", name="later").click()
    axis = page.get_by_label("Time axis shows")
    for name in ("whole trace", "selected span", "rows in view", "whole trace"):
        page.keyboard.press("z")
        expect(axis.locator("option:checked")).to_have_text(name)
        if name == "selected span":
            expect(start).to_have_value("69.5")


def test_a_long_gap_is_folded_with_its_length(open_page: Open, timed: str) -> None:
    page = open_page(timed)
    later = page.get_by_role("row", name="later").locator(".bar-of")
    # Without the gap, each of the two parts has half of the axis.
    expect(later).to_have_attribute("style", re.compile(r"left: 52%; width: 48"))
    gap = page.get_by_role("button", name="gap of 1 min 0 s folded")
    expect(gap).to_have_attribute("aria-pressed", "true")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "trace-gap.png")
    gap.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("gaps=1"))
    expect(later).to_have_attribute("style", re.compile(r"left: 87\.5%"))


def test_the_map_shows_a_span_where_it_ran(open_page: Open, timed: str) -> None:
    """Reads the canvas: the last root is at the lower right."""
    page = open_page(timed)
    expect(page.get_by_role("row", name="later")).to_be_visible()
    drawn: Any = """canvas => {
      const {width, height} = canvas;
      const context = canvas.getContext("2d");
      const {data} = context.getImageData(0, 0, width, height);
      const rows = new Set(), right = new Set();
      for (let at = 3; at < data.length; at += 4) if (data[at]) {
        const x = ((at - 3) / 4) % width, y = Math.floor((at - 3) / 4 / width);
        rows.add(y);
        if (x > width * 0.6) right.add(y);
      }
      return [rows.size, Math.min(...right) > Math.min(...rows)];
    }"""
    expect(page.locator(".map canvas")).to_have_attribute("width", re.compile(r"[1-9]\d\d"))
    rows, is_lower = page.locator(".map canvas").evaluate(drawn)
    assert rows >= len(SPANS)
    assert is_lower


def test_a_trace_without_models_and_agents_shows_only_its_facts(
    open_page: Open, timed: str
) -> None:
    """Each fact is an element: an empty list was a zero between them."""
    page = open_page(timed)
    facts = page.locator(".facts-list")
    expect(facts).to_contain_text("tokens")
    between = """list => [...list.childNodes]
      .filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.data).join("")"""
    assert facts.evaluate(between) == ""
