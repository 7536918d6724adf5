"""axe-core finds nothing on any page, in any theme; and each page is kept as a picture.

The pictures are in build/ui-screenshots, for people to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ui.conftest import SCREENSHOTS, Open, first

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
THEMES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
    # 1280 pixels at 400 %.
    "narrow": {"viewport": {"width": 320, "height": 640}},
}


def pages(api: httpx.Client) -> dict[str, tuple[str, str]]:
    """Name -> path and a text that the page shows when it is complete."""

    def of(kind: str, path: str, key: str, **query: str) -> str:
        return str(first(api, path, kind, query)[key])

    failed = of("traceSummaries", "/v1/traceSummaries", "traceId", **{"filter.hasError": "true"})
    research = {"filter.agentName": "researcher", "filter.minTokens": "1"}
    trace = of("traceSummaries", "/v1/traceSummaries", "traceId", **research)
    several = {"filter.minTraceCount": "2"}
    session = of("conversations", "/v1/conversations", "conversationId", **several)
    experiments = [one["id"] for one in api.get("/v1/experiments").json()["experiments"]]
    spans = api.get(f"/v1/traces/{trace}/spans", params={"view": "SPAN_VIEW_BASIC"}).json()["spans"]
    span = [one["spanId"] for one in spans if one["kind"] == "SPAN_KIND_MODEL"][-1]
    prompts = "a=prompt:demo-support@1.1.0&b=prompt:demo-support@1.3.0"
    return {
        "traces": ("p/demo/traces", "shop-support"),
        "traces-filtered": ("p/demo/traces?error=1&agent=shop-support&last=30d", "Remove all"),
        "traces-peek": (f"p/demo/traces?peek={failed}", "Failed spans"),
        "traces-none": ("p/demo/traces?name=nothing", "No trace meets all conditions"),
        "traces-empty": ("p/default/traces", "Nothing has arrived yet"),
        "trace": (f"p/demo/traces/{trace}", "Assistant"),
        "trace-error": (f"p/demo/traces/{failed}", "System prompt"),
        "trace-span": (f"p/demo/traces/{trace}?span={span}", "new in this call"),
        "trace-attributes": (
            f"p/demo/traces/{trace}?span={span}&tab=attributes&view=spans,detail",
            "service.region",
        ),
        "trace-feedback": (f"p/demo/traces/{trace}?tab=feedback&view=detail", "Note on this span"),
        "trace-missing": ("p/demo/traces/none", "Try again"),
        "sessions": ("p/demo/sessions", "shop-support"),
        "session": (f"p/demo/sessions/{session}", "Feedback on the session"),
        "search": ("p/demo/search?q=refund&last=all", "I want a refund"),
        "overview": ("p/demo/overview", "claude-sonnet-4-5"),
        "experiments": ("p/demo/experiments", "prompt 1.3 (demo)"),
        "experiment": (f"p/demo/experiments/{experiments[0]}", "Show the traces"),
        "library": ("p/demo/library", "Support agent (demo)"),
        "prompt": ("p/demo/library/prompts/demo-support", "Compare with"),
        "dataset": ("p/demo/library/datasets/demo-questions", "6 rows"),
        "compare-traces": (f"p/demo/compare?a=trace:{failed}&b=trace:{trace}", "What was done"),
        "compare-experiments": (
            f"p/demo/compare?a=experiment:{experiments[-1]}&b=experiment:{experiments[0]}",
            "6 cases",
        ),
        "compare-prompts": (f"p/demo/compare?{prompts}", "System text"),
        "settings": ("settings", "Signed in"),
        "login": ("login", "API key"),
    }


def test_the_pictures_of_the_documents_can_be_made(open_page: Open, api: httpx.Client) -> None:
    """docs/images has copies of them, made by hand after a change that people see."""
    folder = SCREENSHOTS / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    known = pages(api)
    page = open_page("settings", viewport={"width": 1280, "height": 720})
    base = page.url.removesuffix("settings")
    for name in ("traces", "trace-span"):
        path, text = known[name]
        page.goto(base + path)
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        picture = folder / f"{name}.jpg"
        page.screenshot(path=picture, type="jpeg", quality=60)
        assert picture.stat().st_size < 150_000


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing(theme: str, open_page: Open, api: httpx.Client) -> None:
    """Chromium logs the 404 of a trace that does not exist as an error."""
    folder = SCREENSHOTS / theme
    folder.mkdir(parents=True, exist_ok=True)
    page = open_page("settings", allowed="404", bypass_csp=True, **THEMES[theme])
    base = page.url.removesuffix("settings")
    wrong = []
    for name, (path, text) in pages(api).items():
        page.goto(base + path)
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        page.screenshot(path=folder / f"{name}.png")
        page.evaluate(AXE.read_text())
        found = page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})",
            list(RULES),
        )
        for violation in found["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:2]]
            wrong.append(f"{name}: {violation['id']}: {violation['help']}: {nodes}")
        if theme == "narrow":
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > 320:
                wrong.append(f"{name}: is {width} pixels wide")
    assert not wrong, "\n".join(wrong)
