"""docs/stability.md: a client of then and a server of today, and the reverse."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from tests.clients import method_descriptor, response_class
from tests.contract.first_client import ANSWERS, METHODS, answers, read
from tests.contract.test_projects import requests
from tests.servers import LiveServer

RECORDED: dict[str, list[str]] = json.loads(ANSWERS.read_text())
# They had no server then.
STREAMS = {
    "ChatService/TailChat",
    "SpanService/ImportSpans",
    "SpanService/RecordSpans",
    "SpanService/TailSpans",
}


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[bytes]]]:
    """What today's server answers to the client of then."""
    path: Path = tmp_path_factory.mktemp("first")
    with LiveServer(database=f"sqlite:///{path}/spanloom.db", log_level="error") as server:
        yield dict(answers(server))


def now(name: str, data: bytes) -> Message:
    """An answer as a client of today reads it."""
    return response_class(method_descriptor(name)).FromString(data)


def as_json(message: Message) -> Any:
    return json_format.MessageToDict(message)


def holds(whole: Any, part: Any) -> bool:
    """Whether a value has all of another one: fields may have been added."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and holds(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)


def test_every_method_of_then_is_called() -> None:
    assert METHODS - set(requests("")) <= STREAMS
    assert set(RECORDED) >= METHODS - STREAMS


@pytest.mark.parametrize("name", RECORDED)
def test_a_client_of_then_reads_todays_answers(name: str, today: dict[str, list[bytes]]) -> None:
    assert len(today[name]) == len(RECORDED[name])
    for data in today[name]:
        assert holds(as_json(now(name, data)), as_json(read(name, data)))


@pytest.mark.parametrize("name", RECORDED)
def test_todays_answers_have_what_those_of_then_had(
    name: str, today: dict[str, list[bytes]]
) -> None:
    """Values are other tests' business: these answers have times and ids of their own."""
    then = [base64.b64decode(text) for text in RECORDED[name]]
    assert len(today[name]) == len(then)
    # Of all messages of a stream together: events that start at once come in any order.
    new, old = (
        set[str]().union(*(paths(as_json(read(name, data))) for data in messages))
        for messages in (today[name], then)
    )
    assert new >= old


@pytest.mark.parametrize("name", RECORDED)
def test_a_client_of_today_reads_the_answers_of_then(name: str) -> None:
    for text in RECORDED[name]:
        data = base64.b64decode(text)
        message = now(name, data)
        assert not len(UnknownFieldSet(message))
        assert as_json(message) == as_json(read(name, data))


def paths(value: Any, above: str = "") -> set[str]:
    """The paths of all fields that are set."""
    if isinstance(value, dict):
        return {above}.union(*(paths(item, f"{above}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {above}.union(*(paths(item, f"{above}[]") for item in value))
    return {above}
