"""The list of traces: its columns, the trace beside it, the range of time, and its downloads."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from tests.ui.conftest import SCREENSHOTS, Open

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect


def test_columns_are_chosen_and_kept(open_page: Open) -> None:
    page = open_page("p/demo/traces")
    grid = page.get_by_role("grid", name="Traces")
    expect(grid.get_by_role("columnheader", name="Cost")).to_be_visible()
    page.get_by_text("Columns", exact=True).first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="Cost").press("Space")
    page.get_by_role("checkbox", name="Agent").check()
    expect(page.get_by_role("checkbox", name="Name")).to_be_disabled()
    expect(page).to_have_url(re.compile(r"cols=status%2Cstart%2Cname.*agent"))
    expect(grid.get_by_role("columnheader", name="Cost")).to_have_count(0)
    expect(grid.get_by_role("button", name="shop-support").first).to_be_visible()
    address = page.url.partition("?")[0]
    page.goto(address)
    expect(grid.get_by_role("columnheader", name="Agent")).to_be_visible()
    # A link shows the columns that it names, whatever is kept.
    page.goto(f"{address}?cols=cost,name")
    expect(grid.get_by_role("columnheader")).to_have_text(["Name", "Cost"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_trace_is_shown_beside_the_list(open_page: Open, theme: Any) -> None:
    page = open_page("p/demo/traces?error=1", color_scheme=theme)
    grid = page.get_by_role("grid", name="Traces")
    rows = grid.get_by_role("row")
    expect(rows.nth(2)).to_be_visible()
    grid.focus()
    page.keyboard.press("j")
    page.keyboard.press("Space")
    peek = page.get_by_role("region", name="Peek")
    first = rows.nth(1).get_by_role("link").inner_text()
    expect(peek.get_by_role("heading", level=2)).to_have_text(first)
    expect(peek.get_by_role("heading", name="Failed spans")).to_be_visible()
    expect(peek.get_by_role("link", name="✕").first).to_be_visible()
    expect(peek.get_by_text("User", exact=True).first).to_be_visible()
    expect(grid).to_be_focused()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"peek-{theme}.png")
    one = page.url
    page.keyboard.press("j")
    expect(page).not_to_have_url(one)
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    opened = peek.get_by_role("link", name="Open trace")
    opened.focus()
    page.keyboard.press("Escape")
    expect(peek).to_have_count(0)
    expect(grid).to_be_focused()
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    # The address shows it again, and Enter opens it whole.
    page.goto(one)
    expect(peek.get_by_role("heading", level=2)).to_have_text(first)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(first)


def test_the_selected_trace_stays_selected_when_others_arrive(
    open_page: Open, api: httpx.Client
) -> None:
    def write(name: str) -> None:
        span = {"traceId": name, "spanId": "1", "name": name, "duration": "1s"}
        headers = {"x-spanloom-project": "arriving"}
        answer = api.post("/v1/spans:write", json={"spans": [span]}, headers=headers)
        assert answer.status_code == 200

    write("before")
    page = open_page("p/arriving/traces")
    grid = page.get_by_role("grid", name="Traces")
    expect(grid.get_by_role("row", name="before")).to_be_visible()
    page.keyboard.press("j")
    newer = grid.get_by_role("row", name="newer")
    # Written until it is seen: the first poll may come after the first write.
    for turn in range(20):
        write(f"newer {turn}")
        try:
            newer.first.wait_for(timeout=3000)
            break
        except Exception:  # noqa: BLE001 - not yet
            continue
    expect(newer.first).to_be_visible()
    expect(grid.get_by_role("row", selected=True)).to_have_accessible_name(re.compile("before"))


def test_dragging_over_the_counts_sets_the_range(open_page: Open) -> None:
    page = open_page("p/demo/traces?last=30d")
    bars = page.locator(".histogram .bars")
    expect(page.locator(".bucket:not(:disabled)").first).to_be_visible()
    box = bars.bounding_box()
    assert box is not None
    across = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, across)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, across, steps=4)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"last=30d$"))
    page.mouse.move(box["x"] + box["width"] * 0.5, across)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, across, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"from=\d{4}-.*&to=\d{4}-"))
    for name in ("from", "to"):
        expect(page.get_by_label(name, exact=True)).to_have_value(re.compile(r"^\d{4}-"))


def test_the_list_is_downloaded_in_each_format(open_page: Open) -> None:
    page = open_page("p/demo/traces?error=1")
    expect(page.get_by_role("grid", name="Traces").get_by_role("row").nth(1)).to_be_visible()
    files: dict[str, bytes] = {}
    page.get_by_text("Download", exact=True).click()
    for name, suffix in {"JSON": "json", "JSONL": "jsonl", "Parquet": "parquet"}.items():
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {name}", exact=True).click()
        assert download.value.suggested_filename == f"traces-demo.{suffix}"
        files[suffix] = Path(download.value.path()).read_bytes()
    traces = json.loads(files["json"])
    assert traces
    assert [json.loads(line) for line in files["jsonl"].splitlines()] == traces
    table = pyarrow.parquet.read_table(io.BytesIO(files["parquet"])).to_pylist()
    assert [row["trace_id"] for row in table] == [one["traceId"] for one in traces]
    for row, one in zip(table, traces, strict=True):
        assert row["start_time"].isoformat()[:23] == one["startTime"][:23]
        assert row["input_tokens"] == int(one["figures"]["inputTokens"])
        assert json.loads(row["models"]) == one["models"]


def test_the_rows_stay_where_they_are_when_the_counts_arrive(open_page: Open) -> None:
    page = open_page("settings")
    held: list[Any] = []
    may_go = False

    def hold(route: Any) -> None:
        if may_go:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/traceSummaries:count*", hold)
    page.goto(page.url.replace("settings", "p/demo/traces"))
    row = page.get_by_role("grid", name="Traces").get_by_role("row").nth(1)
    expect(row).to_be_visible()
    before = row.bounding_box()
    expect(page.locator(".facet")).to_have_count(0)
    may_go = True
    for route in held:
        route.continue_()
    expect(page.locator(".facet").first).to_be_visible()
    assert row.bounding_box() == before
