"""The main pages on PostgreSQL. The other files of this directory look at them on SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.servers import LiveServer
from tests.ui.conftest import Open, demo_server

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect


@pytest.fixture(scope="module")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with demo_server("postgresql", tmp_path_factory.mktemp("ui")) as server:
        yield server


def test_a_person_walks_through_the_pages(open_page: Open) -> None:
    page = open_page("p/demo/traces?error=1")
    rows = page.get_by_role("grid", name="Traces").get_by_role("row")
    expect(rows.nth(1)).to_be_visible()
    expect(page.locator(".bucket:not(:disabled)").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Space")
    peek = page.get_by_role("region", name="Peek")
    expect(peek.get_by_role("link", name="✕").first).to_be_visible()

    page.keyboard.press("Enter")
    tree = page.get_by_role("treegrid", name="Spans")
    expect(tree.get_by_role("row").nth(1)).to_be_visible()
    page.keyboard.press("e")
    expect(tree.get_by_role("row", selected=True)).to_have_accessible_name(re.compile("error"))
    expect(page.get_by_role("region", name="Chat").get_by_text("User").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("order")
    page.keyboard.press("Enter")
    hits = page.get_by_role("search").get_by_role("status")
    expect(hits).to_have_text(re.compile(r"^[\d,]+ spans$"))
    page.keyboard.press("+")
    expect(page.get_by_role("status").filter(has_text="judged good")).to_be_visible()

    menu = page.get_by_role("navigation", name="Pages")
    for name, text in {
        "Sessions": "shop-support",
        "Overview": "model calls",
        "Experiments": "prompt 1.3 (demo)",
        "Library": "Support agent (demo)",
    }.items():
        menu.get_by_role("link", name=name).click()
        expect(page.get_by_text(text).first).to_be_visible()
    page.goto(page.url.partition("/p/")[0] + "/p/demo/search?q=refund&last=all")
    expect(page.get_by_text("found in").first).to_be_visible()
