"""Presets, patterns, paths, files of rules and functions of others."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from spanloom.errors import SetupError, SpanloomError
from spanloom.redaction.documents import redacted, redacted_fields, redacted_text
from spanloom.redaction.messages import redact_message
from spanloom.redaction.paths import parsed, reaches
from spanloom.redaction.presets import PRESETS
from spanloom.redaction.rules import Rules, compile_rules, faults
from spanloom.redaction.rules_file import read_rules
from spanloom.services.redaction import Redaction
from spanloom.v1 import event_pb2, span_pb2, span_service_pb2
from tests.clients import until
from tests.databases import new_url
from tests.redaction.test_requests import CALL, stored
from tests.servers import LiveServer

PAGE = Path("docs/redaction.md").read_text()
ALL = compile_rules(Rules(tuple(PRESETS)))


@pytest.mark.parametrize(
    ("preset", "text"),
    [
        *(("email", text) for text in ("a.b+c@mail.example.org", "ümit@exämple.de", "a%40b.org")),
        *(("phone", text) for text in ("+49 30 1234567", "+4930123456", "(030) 123-4567")),
        *(("phone", text) for text in ("555-123-4567", "030/1234567", "0171 23 45 678")),
        *(
            ("card", text)
            for text in ("4111111111111111", "5500-0000-0000-0004", "378282246310005")
        ),
        *(("iban", text) for text in ("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32")),
        *(("ip", "192.168.0.1"), ("ssn", "123-45-6789")),
        *(("token", text) for text in ("sk-abcdefghijklmnopqrst", "AKIAABCDEFGHIJKLMNOP")),
        ("token", "Bearer abcdefghijklmnopqrst=="),
        ("token", "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"),
    ],
)
def test_presets(preset: str, text: str) -> None:
    rules = compile_rules(Rules((preset,)))
    mark = f"[REDACTED:{preset}]"
    assert rules.replaced(text) == mark
    assert rules.replaced(f"see {text}, {text}. And") == f"see {mark}, {mark}. And"
    document = {"a": [text, 1.5], "b": "x"}
    text = json.dumps(document, ensure_ascii=False)
    assert json.loads(redacted_text(rules, text)) == {"a": [mark, 1.5], "b": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112 1764322222000000000 1764322222 2026-11-28 09:44:36 12.5.2026",
        "0af7651916cd43dd8448eb211c80319c 01890a5d-ac96-774b-bcce-b302099a8057 v1.2.3.4000",
        "a @ b, me@home, 0000000000000000, DE89370400440532013001, 1234-56-7890, call_012 345 6789",
        "data:image/png;base64,iVBORw0KGgo+4915112345678AAANSUhEUgAA/4111111111111111+",
        "sk-short Bearer me 300.1.1.1 1.5 0.25 -12345678 1e308",
    ],
)
def test_what_presets_leave(text: str) -> None:
    assert ALL.replaced(text) == text


def test_a_card_after_other_digits_and_an_iban_before_a_word() -> None:
    assert ALL.replaced("No 1 4111 1111 1111 1111 9") == "No 1 [REDACTED:card] 9"
    assert ALL.replaced("DE89 3704 0044 0532 0130 00 today") == "[REDACTED:iban] today"


def test_numbers_keep_json_valid() -> None:
    rules = compile_rules(Rules(("card",), (("nr", "77[0-9]+"),)))
    assert redacted_text(rules, '{"a": 4111111111111111, "b": 7712345.0, "c": 7.5}') == (
        '{"a": "[REDACTED:card]", "b": "[REDACTED:nr]", "c": 7.5}'
    )


@given(st.text() | st.sampled_from(["a@b.org", "+49 30 1234567", "192.168.0.1 4111111111111111"]))
def test_presets_are_idempotent(text: str) -> None:
    once = redacted_text(ALL, text)
    assert redacted_text(ALL, once) == once


def test_hostile_patterns_and_texts_take_linear_time() -> None:
    rules = compile_rules(Rules(tuple(PRESETS), (("a", "(a+)+b|(a|aa)+c|(.*a){25}d"),)))
    assert not faults(Rules((), (("a", "(a+)+b"),)))
    for text in ("a" * 100_000, "1 " * 50_000, "@" * 100_000, "a@" * 50_000, "AA11" * 20_000):
        rules.replaced(text)


@pytest.mark.parametrize(
    ("path", "trail", "expected"),
    [
        ("$.a.b", ("a", "b"), True),
        ("$.a.b", ("a",), False),
        ("$.a.b", ("a", "b", "c"), True),
        ("$..b", ("b",), True),
        ("$..b", ("x", "y", "b"), True),
        ("$.a..b", ("a", "x", "b"), True),
        ("$.a..b", ("x", "b"), False),
        ("$.a.*", ("a", "x"), True),
        ("$.*", ("a", "x"), True),
        ("$.a[*].b", ("a", "b"), True),
        ("$['a.b'].c", ("a.b", "c"), True),
        ('$["a b"]', ("a b",), True),
        ("$..['x']", ("a", "x"), True),
    ],
)
def test_paths(path: str, trail: tuple[str, ...], expected: bool) -> None:
    assert reaches(parsed(path), trail) == expected


@pytest.mark.parametrize(
    "path", ["", "$", "a.b", "$.", "$a", "$..", "$.a[0]", "$[", "$.a b", "$['a"]
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"must|cannot"):
        parsed(path)


def test_paths_reach_into_texts_of_json() -> None:
    rules = compile_rules(Rules(paths=("$.a.text.ssn", "$.list.x")))
    value = {"a": {"text": '{"ssn": 1, "n": 2}'}, "list": [{"x": [1]}, {"x": None, "y": 1}]}
    assert redacted(rules, value) == {
        "a": {"text": '{"ssn": "[REDACTED]", "n": 2}'},
        "list": [{"x": "[REDACTED]"}, {"x": None, "y": 1}],
    }


def test_a_path_of_a_whole_field_reaches_all_in_it() -> None:
    rules = compile_rules(Rules(paths=("$.inputs", "$.outputs", "$.input_messages")))
    fields = {"inputs": {"a": {"b": 1}, "c": None}, "outputs": [1], "event_name": "x"}
    assert redacted_fields(rules, fields) == {
        "inputs": {"a": "[REDACTED]", "c": None},
        "outputs": "[REDACTED]",
        "event_name": "x",
    }
    event = event_pb2.Event(event_name="x")
    event.inputs.update({"a": {"b": 1}})
    span = span_pb2.Span(name="x")
    span.input_messages.add(role="user").parts.add(text="secret")
    for message in (event, span):
        redact_message(rules, message)
    assert json_format.MessageToDict(event.inputs) == {"a": "[REDACTED]"}
    assert (span.name, span.input_messages[0].parts[0].text) == ("x", "[REDACTED]")


def test_the_file_of_the_page_is_read(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(presets.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "rules.toml"
    file.write_text(shown)
    assert read_rules(str(file)) == Rules(
        ("email", "card"), (("customer", "K-[0-9]{6}"),), ("$..ssn",)
    )
    assert read_rules("") == Rules()
    for wrong in (
        *("preset = []", "presets = [1]", "presets = ['mail']", "[[pattern]]\nname = 'a'"),
        *("paths = ['a']", "pattern = 1", "redactors = ['nobody']", "=", "paths = 'a'"),
    ):
        file.write_text(wrong)
        with pytest.raises(SetupError, match=r"rules\.toml"):
            read_rules(str(file))
    with pytest.raises(SetupError, match="cannot be read"):
        read_rules(str(tmp_path / "none.toml"))


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function of the page, and some that fail, installed."""
    [shown] = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "our_redaction.py").write_text(
        f"{shown}\n\nimport threading\n\nWAIT = threading.Event()\n\n\n"
        "def raises(text, project):\n    raise ValueError('zqsecret')\n\n\n"
        "def gives_none(text, project):\n    return None\n\n\n"
        "def hangs(text, project):\n    WAIT.wait(60)\n    return text\n"
    )
    info = tmp_path / "our_redaction-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-redaction\nVersion: 1\n")
    names = ("names", "raises", "gives_none", "hangs")
    points = [f"{name} = our_redaction:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[spanloom.redactors]", *points]))
    monkeypatch.syspath_prepend(str(tmp_path))


def request(text: str) -> Any:
    made = span_service_pb2.WriteSpansRequest()
    made.spans.add(name=text)
    return made


@pytest.mark.usefixtures("plug_ins")
def test_the_function_of_the_page_redacts() -> None:
    assert faults(Rules(redactors=("names", "nobody")))[0][0] == "redactors[1]"
    redaction = Redaction(stored(p=Rules(("email",), redactors=("names",))))
    message = request("Lovelace a@b.org")
    asyncio.run(redaction.request(message, CALL))
    assert message.spans[0].name == "[REDACTED:staff] [REDACTED:email]"


@pytest.mark.usefixtures("plug_ins")
@pytest.mark.parametrize("name", ["raises", "gives_none", "hangs", "not_installed"])
def test_nothing_is_stored_that_cannot_be_redacted(name: str) -> None:
    redaction = Redaction(stored(p=Rules(redactors=(name,))), timeout=0.2)

    async def called() -> None:
        await redaction.request(request("text"), CALL)

    async def both() -> None:
        for _ in range(2):
            with pytest.raises(SpanloomError) as refused:
                await called()
            assert (refused.value.code, refused.value.reason) == (
                "UNAVAILABLE",
                "REDACTION_FAILED",
            )
            assert "zqsecret" not in refused.value.message
        if name == "hangs":
            import our_redaction  # type: ignore[import-not-found]

            event: threading.Event = our_redaction.WAIT
            event.set()

    asyncio.run(both())


def test_rules_that_another_process_has_changed_are_used(tmp_path: Path) -> None:
    with LiveServer(database=new_url("sqlite", tmp_path), log_level="error") as server:
        store = server.running.store
        one, other = Redaction(store), Redaction(store)
        server.run(store.ensure_project("p"))

        def name_after(redaction: Redaction) -> str:
            message = request("a@b.org")
            server.run(redaction.request(message, CALL))
            return message.spans[0].name  # type: ignore[no-any-return]

        assert name_after(one) == name_after(other) == "a@b.org"
        server.run(one.write("p", Rules(("email",)), 1))
        assert name_after(one) == "[REDACTED:email]"
        until(lambda: name_after(other) == "[REDACTED:email]")
        server.run(one.write("p", Rules(), 2))
        until(lambda: name_after(other) == "a@b.org")


def test_a_file_with_a_mistake_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("presets = ['mail']")
    with (
        pytest.raises(SetupError, match=r"presets\[0\] in .* is none of card, email"),
        LiveServer(database=new_url("sqlite", tmp_path), redaction=str(file)),
    ):
        pass
