"""Envelopes are deleted when no span has them any more, beside writers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spanloom.model import Io, Span
from spanloom.model.span import Sent
from spanloom.store.sql import envelopes
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"
CONTENTS = "SELECT content FROM envelopes"


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    return replace(columns, io=Io(inputs=envelope.decode()), sent=Sent(adapter))


def a_sent(span_id: str, envelope: str) -> Span:
    told = Sent("x", {}, b"said", envelope.encode())
    return replace(a_span(span_id, f"t{span_id}"), sent=told)


def kept(url: str) -> set[bytes]:
    return {bytes(content) for (content,) in select(url, CONTENTS)}


def test_an_envelope_is_deleted_after_the_last_of_its_spans(
    empty_url: str, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelopes, "_BODIES", 2)
    monkeypatch.setattr(envelopes, "_DELETED", 1)

    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        names = ["one", "one", "two", "three", "three"]
        spans = [a_sent(str(n), name) for n, name in enumerate(names)]
        await store.write_spans(PROJECT, spans)
        await store.indexer.sweep_envelopes()
        assert kept(empty_url) == {b"one", b"two", b"three"}
        for span_id in "024":
            await store.delete_spans(PROJECT, [(f"t{span_id}", span_id)])
        await store.write_spans(PROJECT, [a_sent("3", "four")])  # in place of another one
        await store.indexer.sweep_envelopes()
        assert kept(empty_url) == {b"one", b"four"}
        assert [span.io.inputs for span in await store.trace_spans(PROJECT, "t1")] == ["one"]
        await store.delete_spans(PROJECT, [("t1", "1"), ("t3", "3")])
        assert await envelopes.delete_unused(store._connections) == 2
        assert kept(empty_url) == set()
        await store.close()

    run(play())


def test_what_is_written_while_spans_are_looked_at_keeps_its_envelope(
    empty_url: str, run: Run[Any]
) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        await store.write_spans(PROJECT, [a_sent(n, n) for n in ("again", "updated", "gone")])
        await store.delete_spans(PROJECT, [("tagain", "again"), ("tgone", "gone")])
        unused = await envelopes.find_unused(store._connections)
        assert len(unused.digests) == 2
        await store.write_spans(PROJECT, [a_sent("new", "again")])
        await store.patch_event(PROJECT, "updated", {"name": "another"})
        number = await store._write(lambda t: envelopes.delete_still_unused(unused, t), rows=0)
        assert number == 1
        assert kept(empty_url) == {b"again", b"updated"}
        assert [span.io.inputs for span in await store.trace_spans(PROJECT, "tnew")] == ["again"]
        await store.close()

    run(play())
