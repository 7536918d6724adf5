"""The plot of a soak: panels with one time axis, as SVG, and as PNG by a Chromium."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1100, 150
_LEFT, _RIGHT, _GAP, _TOP = 70, 190, 44, 30
_COLORS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a", "#bf3989", "#0a7ea4")
_MARK = "#d1242f"


@dataclass(frozen=True)
class Panel:
    """Lines over time: (seconds, value) of each by its name. `unit` is shown at the axis."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(panels: Sequence[Panel], marks: Sequence[float], title: str) -> str:
    """The plot; `marks` are moments, in seconds, that every panel shows."""
    end = max((t for panel in panels for line in panel.lines.values() for t, _ in line), default=1)
    end = max(end, 1.0)
    height = _TOP + len(panels) * (HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(_LEFT, 18, title, size=14),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, marks, end, _TOP + 20 + number * (HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>"]) + "\n"


def png(drawn: str, path: Path, chromium: str) -> None:
    """Write an SVG as PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # As root, as in containers, Chromium needs its sandbox off.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 100})
        page.set_content(f"<body style='margin:0'>{drawn}</body>")
        page.locator("svg").screenshot(path=path)
        browser.close()


def _panel(panel: Panel, marks: Sequence[float], end: float, top: int) -> list[str]:
    wide = WIDTH - _LEFT - _RIGHT
    most = max((v for line in panel.lines.values() for _, v in line), default=0) or 1.0
    bottom = top + HEIGHT

    def point(seconds: float, value: float) -> str:
        return f"{_LEFT + wide * seconds / end:.1f},{bottom - HEIGHT * value / most:.1f}"

    parts = [
        _text(_LEFT, top - 6, panel.title, size=13),
        f'<rect x="{_LEFT}" y="{top}" width="{wide}" height="{HEIGHT}" fill="none" '
        'stroke="#d0d7de"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        label = f"{most * share:,.3g} {panel.unit}".strip()
        parts.append(_text(_LEFT - 6, bottom - HEIGHT * share + 4, label, anchor="end"))
        minutes = f"{end * share / 60:,.3g} min"
        parts.append(_text(_LEFT + wide * share, bottom + 14, minutes, anchor="middle"))
    for moment in marks:
        x = _LEFT + wide * min(moment / end, 1.0)
        parts.append(f'<path d="M{x:.1f} {top}v{HEIGHT}" stroke="{_MARK}" stroke-opacity="0.25"/>')
    for number, (name, line) in enumerate(panel.lines.items()):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(point(seconds, value) for seconds, value in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
        parts.append(_text(WIDTH - _RIGHT + 10, top + 12 + 16 * number, name, color=color))
    return parts


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", color: str = "#1f2328"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{color}">{escape(text)}</text>'
    )
