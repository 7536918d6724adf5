"""Words may become longer, as they do in another language: no control is cut or covered by another.

All words of the page are written with half of their length more; what users sent stays as it is.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.ui.conftest import SCREENSHOTS, Open
from tests.ui.test_access import pages

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

LENGTHEN = """() => {
  const accents = {a: "å", e: "é", i: "î", o: "ö", u: "ü", c: "ç", n: "ñ", y: "ý", A: "Å", E: "É"};
  const longer = (text) => {
    const word = text.trim();
    if (!/[a-z]/i.test(word)) return text;
    const more = "·".repeat(Math.max(2, Math.round(word.length / 2)));
    return text.replace(word, word.replace(/[aeioucnyAE]/g, (c) => accents[c]) + more);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest("bdi, time, code, pre, script, style, kbd")) continue;
    const text = longer(node.data);
    if (text !== node.data) node.data = text;
  }
  for (const menu of document.querySelectorAll("details.menu")) menu.open = true;
}"""
# The controls that are cut by what is around them, or lie on others.
FAULTS = """() => {
  const name = (element) => `<${element.localName} class="${element.className}"> `
    + (element.ariaLabel || element.textContent).trim().slice(0, 40);
  const menus = [...document.querySelectorAll(".menu-list")];
  const controls = [...document.querySelectorAll("button, a, input, select, summary, h1")]
    .filter((element) => element.checkVisibility({visibilityProperty: true})
      && !element.closest(".unseen, .skip, [role=row], .facets, .chips, .bars"));
  const faults = [];
  const boxes = [];
  for (const element of controls) {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    if (/^(BUTTON|SUMMARY)$/.test(element.tagName) && !element.querySelector("bdi")
      && element.scrollWidth > element.clientWidth + 1) faults.push(`cut: ${name(element)}`);
    let seen = true;
    for (let around = element.parentElement; around; around = around.parentElement) {
      const style = getComputedStyle(around);
      const outer = around.getBoundingClientRect();
      if (/auto|scroll/.test(style.overflow)) {
        // What is scrolled away is neither cut nor covered.
        if (box.bottom > outer.bottom || box.right > outer.right + 1 || box.top < outer.top) {
          seen = false;
        }
        break;
      }
      if (/hidden|clip/.test(style.overflowX) && box.right > outer.right + 1) {
        faults.push(`cut by ${name(around)}: ${name(element)}`);
      }
    }
    // A link in a text has a box for each of its lines.
    if (seen) for (const line of element.getClientRects()) boxes.push([element, line]);
  }
  for (let a = 0; a < boxes.length; a++) for (let b = a + 1; b < boxes.length; b++) {
    const [one, first] = boxes[a], [other, second] = boxes[b];
    if (one.contains(other) || other.contains(one)) continue;
    // A menu lies on what is below it.
    if (menus.some((menu) => menu.contains(one) || menu.contains(other))) continue;
    const width = Math.min(first.right, second.right) - Math.max(first.left, second.left);
    const height = Math.min(first.bottom, second.bottom) - Math.max(first.top, second.top);
    if (width > 1 && height > 1) faults.push(`${name(one)} lies on ${name(other)}`);
  }
  return faults;
}"""
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 320, "height": 640}}


@pytest.mark.parametrize("size", SIZES)
def test_longer_words_cut_and_cover_no_control(
    size: str, open_page: Open, api: httpx.Client
) -> None:
    """Chromium logs the 404 of a trace that does not exist as an error."""
    folder = SCREENSHOTS / "longer"
    folder.mkdir(parents=True, exist_ok=True)
    page = open_page("settings", allowed="404", bypass_csp=True, viewport=SIZES[size])
    base = page.url.removesuffix("settings")
    wrong: list[Any] = []
    for name, (path, text) in pages(api).items():
        page.goto(base + path)
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        page.evaluate(LENGTHEN)
        page.screenshot(path=folder / f"{size}-{name}.png")
        wrong += [f"{name}: {fault}" for fault in page.evaluate(FAULTS)]
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > SIZES[size]["width"]:
            wrong.append(f"{name}: is {width} pixels wide")
    assert not wrong, "\n".join(wrong)
