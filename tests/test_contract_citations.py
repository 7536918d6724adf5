"""Comments cite the rules that they follow: `docs/contracts/<name>.md, section 2.9` or `sections
2.5 to 2.10 and 3`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = {page.name: page for page in sorted((ROOT / "docs" / "contracts").glob("*.md"))}
GENERATED = ROOT / "src" / "spanloom" / "v1"
SOURCES = [
    path
    for folder in ("src", "tests", "proto", "tools", "bench")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".proto") and GENERATED not in path.parents and path != Path(__file__)
]
_NUMBER = r"\d+(?:\.\d+)*"
_NUMBERS = rf"{_NUMBER}(?:(?:, and|,| and| to) {_NUMBER})*"
_CITATION = re.compile(rf"docs/contracts/([\w./-]*\w)(?:, sections? ({_NUMBERS}))?")
# Within a contract, a number outside of a link is one of its own sections.
_OWN = re.compile(rf"\b[Ss]ections? ({_NUMBERS})")
_LINK = re.compile(rf"\[(\w+), section ({_NUMBER})\]")
_OTHER_SPELLING = re.compile(
    r"\bcontract [\"'`]?(?:agent_chat|traces|events)\b"
    r"|\b(?:agent_chat|traces|events), sections? \d"
    r"|(?<!docs/contracts/)\b(?:agent_chat|traces|events)\.md, section"
    r"|\bdesign(?:\.md)?, [\"'`]"
    r"|#\s*\d\.\d+(?:, \d\.\d+)*$",
    re.MULTILINE,
)


class Citation(NamedTuple):
    file: str
    sections: tuple[str, ...]


def joined(text: str) -> str:
    """The text with comments and docstrings that go over several lines on one."""
    return re.sub(r"\s*\n[ \t]*(?:#|//)?[ \t]*(?=\S)", " ", text)


def citations(text: str) -> list[Citation]:
    return [
        Citation(found[1], tuple(re.findall(_NUMBER, found[2] or "")))
        for found in _CITATION.finditer(joined(text))
    ]


def sections(page: Path) -> list[str]:
    """The numbers of a contract's headings, in order."""
    return re.findall(rf"^#+ ({_NUMBER})\.? ", page.read_text(), re.MULTILINE)


def test_citations_are_found_however_they_are_written() -> None:
    assert citations("# docs/contracts/traces.md, section 2.\n") == [Citation("traces.md", ("2",))]
    assert citations('"""Rules: docs/contracts/events.md, sections 1.2 to\n    1.4 and 3."""') == [
        Citation("events.md", ("1.2", "1.4", "3"))
    ]
    assert citations("// docs/contracts/agent_chat.md,\n  // section 2.10; more") == [
        Citation("agent_chat.md", ("2.10",))
    ]
    assert citations("see docs/contracts/agent_chat.md.") == [Citation("agent_chat.md", ())]


def test_many_sections_are_cited() -> None:
    cited = {
        (c.file, s) for path in SOURCES for c in citations(path.read_text()) for s in c.sections
    }
    assert {file for file, _ in cited} == CONTRACTS.keys()
    assert len(cited) > 20


def test_every_cited_section_is_there() -> None:
    known = {name: {"", *sections(page)} for name, page in CONTRACTS.items()}
    missing = [
        f"{path.relative_to(ROOT)}: {citation.file}, section {section}"
        for path in SOURCES
        for citation in citations(path.read_text())
        for section in citation.sections or ("",)
        if section not in known.get(citation.file, ())
    ]
    assert missing == []


def test_no_citation_is_spelled_otherwise() -> None:
    odd = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in SOURCES
        for found in _OTHER_SPELLING.finditer(path.read_text())
    ]
    assert odd == []


@pytest.mark.parametrize(
    "text",
    [
        "contract agent_chat, section 2.9",
        'contract "traces", section 2',
        "(agent_chat, section 1.2)",
        'design, "Agent chat"',
        "def test_a() -> None:  # 3.8",
        "agent_chat.md, section 2.9",
    ],
)
def test_other_spellings_are_noticed(text: str) -> None:
    assert _OTHER_SPELLING.search(text)


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_sections_of_a_contract_are_numbered_once_and_in_order(name: str) -> None:
    numbers = [tuple(map(int, number.split("."))) for number in sections(CONTRACTS[name])]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_sections_that_a_contract_names_are_there(name: str) -> None:
    text = joined(CONTRACTS[name].read_text())
    own = re.findall(_NUMBER, " ".join(_OWN.findall(_LINK.sub("", text))))
    assert own
    assert set(own) <= set(sections(CONTRACTS[name]))
    for other, number in _LINK.findall(text):
        assert number in sections(CONTRACTS[f"{other}.md"])
