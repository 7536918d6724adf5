"""Long contents of messages are kept once a project, as long as a span has them."""

from __future__ import annotations

import asyncio
import base64
import random
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import Io, Span
from spanloom.model.span import Sent
from spanloom.store.sql import attachments, packing
from spanloom.store.sql.rederive import Range
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"
CONTENTS = "SELECT project, content FROM attachments"
IMAGE, SOUND = (random.Random(n).randbytes(5000) for n in (1, 2))


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    return replace(columns, io=Io(inputs=message.decode()), sent=Sent(adapter))


def saying(*contents: bytes) -> str:
    said = ";".join(f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in contents)
    return f"[{said}]"


def a_sent(span_id: str, said: str, trace_id: str = "") -> Span:
    told = Sent("x", {}, said.encode())
    return replace(a_span(span_id, trace_id or f"t{span_id}"), sent=told)


def kept(url: str) -> set[tuple[str, bytes]]:
    found = select(url, CONTENTS)
    assert len(set(found)) == len(found)
    return {(project, bytes(content)) for project, content in found}


async def said(store: Store, trace_id: str, project: str = PROJECT) -> list[Any]:
    return [span.io.inputs for span in await store.trace_spans(project, trace_id)]


async def found(store: Store, content: bytes, project: str = PROJECT) -> Any:
    return await store.find_attachment(project, sha256(content).digest())


def test_a_content_is_kept_once_and_given_back(empty_url: str, run: Run[Any]) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        both = saying(IMAGE, SOUND, IMAGE)
        await store.write_spans(PROJECT, [a_sent("1", both), a_sent("2", saying(IMAGE))])
        await store.write_spans("q", [a_sent("1", saying(IMAGE))])
        assert kept(empty_url) == {(PROJECT, IMAGE), (PROJECT, SOUND), ("q", IMAGE)}
        assert await said(store, "t1") == [both]
        assert await said(store, "t2") == [saying(IMAGE)]
        assert await found(store, IMAGE) == ("image/png", IMAGE)
        assert await found(store, SOUND, "q") is None
        sizes = select(empty_url, "SELECT length(sent) FROM bodies")
        assert all(size < 300 for (size,) in sizes)
        await store.close()

    run(play())


def test_a_content_without_spans_is_deleted(empty_url: str, run: Run[Any]) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        spans = [a_sent("1", saying(IMAGE)), a_sent("2", saying(IMAGE, SOUND))]
        await store.write_spans(PROJECT, spans)
        await store.write_spans("q", [a_sent("1", saying(SOUND))])
        await store.delete_spans(PROJECT, [("t2", "2")])
        assert kept(empty_url) == {(PROJECT, IMAGE), ("q", SOUND)}
        assert await said(store, "t1") == [saying(IMAGE)]
        # Replaced by another content: not found any more, and deleted behind the writes.
        await store.write_spans(PROJECT, [a_sent("1", saying(SOUND))])
        assert await found(store, IMAGE) is None
        assert await found(store, SOUND) == ("image/png", SOUND)
        await store.indexer.sweep_attachments()
        assert kept(empty_url) == {(PROJECT, SOUND), ("q", SOUND)}
        for delete in (store.delete_trace, store.delete_session):
            await store.write_spans(PROJECT, [a_sent("1", saying(IMAGE))])
            assert await delete(PROJECT, "t1")
            assert kept(empty_url) == {("q", SOUND)}
        await store.write_spans(PROJECT, [a_sent("1", saying(IMAGE))])
        assert await store.delete_event(PROJECT, "1")
        assert kept(empty_url) == {("q", SOUND)}
        assert select(empty_url, "SELECT count(*) FROM attached") == [(1,)]
        assert select(empty_url, "SELECT count(*) FROM released_attachments") == [(0,)]
        await store.close()

    run(play())


def test_a_content_that_is_attached_again_is_kept(empty_url: str, run: Run[Any]) -> None:
    """One transaction gives the last span of a content up, and another one attaches it again,
    before anybody deletes what was given up."""

    async def play() -> None:
        store, other = [await Store.open(empty_url, restore=restore) for _ in range(2)]
        await store.write_spans(PROJECT, [a_sent("1", saying(IMAGE))])
        await store.write_spans(PROJECT, [a_sent("1", "nothing")])
        await other.write_spans(PROJECT, [a_sent("2", saying(IMAGE))])
        await store.indexer.sweep_attachments()
        assert await said(store, "t2") == [saying(IMAGE)]
        assert kept(empty_url) == {(PROJECT, IMAGE)}
        # The same span twice in one call: the one that is dropped attaches nothing.
        await store.write_spans(PROJECT, [a_sent("2", saying(SOUND)), a_sent("2", "nothing")])
        await store.indexer.sweep_attachments()
        assert await found(other, SOUND) is None
        assert select(empty_url, "SELECT count(*) FROM attached") == [(0,)]
        await store.close()
        await other.close()

    run(play())


def test_two_writers_never_lose_a_content(empty_url: str, run: Run[Any]) -> None:
    async def play() -> None:
        stores = [await Store.open(empty_url, restore=restore) for _ in range(2)]

        async def write_and_delete(store: Store, name: str) -> None:
            for _ in range(20):
                await store.write_spans(PROJECT, [a_sent(name, saying(IMAGE))])
                assert await said(store, f"t{name}") == [saying(IMAGE)]
                await store.write_spans(PROJECT, [a_sent(name, "nothing")])
                await store.delete_spans(PROJECT, [(f"t{name}", name)])

        names = "abcd"
        await asyncio.gather(
            *(write_and_delete(stores[n % 2], name) for n, name in enumerate(names))
        )
        await stores[0].indexer.sweep_attachments()
        assert kept(empty_url) == set()
        for store in stores:
            await store.close()

    run(play())


def test_an_update_and_columns_that_are_derived_again_keep_the_contents(
    empty_url: str, run: Run[Any]
) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore, reread=restore)
        await store.write_spans(PROJECT, [a_sent("1", saying(IMAGE))], events=True)
        await store.patch_event(PROJECT, "1", {"metadata": {"a": 1}})
        async for written in store.rederive(restore, Range(also_current=True)):
            assert written == 1
        [span] = await store.trace_spans(PROJECT, "t1")
        assert (span.io.inputs, span.io.metadata) == (saying(IMAGE), {"a": 1})
        await store.indexer.sweep_attachments()
        assert await found(store, IMAGE) == ("image/png", IMAGE)
        await store.delete_trace(PROJECT, "t1")
        assert kept(empty_url) == set()
        await store.close()

    run(play())


def test_a_span_whose_content_is_lost_is_damaged(empty_url: str, run: Run[Any]) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        await store.write_spans(PROJECT, [a_sent("1", saying(IMAGE)), a_sent("2", "whole")])

        def lose(transaction: Any) -> None:
            transaction.connection.exec_driver_sql("DELETE FROM attachments")

        await store._connections.write(lose)
        with pytest.raises(SpanloomError, match="damaged"):
            await store.find_event(PROJECT, "1")
        assert await said(store, "t2") == ["whole"]
        await store.close()

    run(play())


def test_messages_are_unpacked_as_they_were_packed() -> None:
    messages = [b"short", b"long " * 5000, saying(IMAGE, SOUND).encode(), saying(SOUND).encode()]
    sent, contents = packing.packed(messages)
    assert {content for _, content in contents.values()} == {IMAGE, SOUND}
    by_digest = {digest: content for digest, (_, content) in contents.items()}
    assert [packing.unpacked(one, lambda: by_digest) for one in sent] == messages
    assert [packing.length(one) for one in sent] == [len(message) for message in messages]
    assert packing.without_attachments(sent[3]) == b"[data:image/png;base64,]"
    assert [len(packing.digests(one)) for one in sent] == [0, 0, 2, 1]
    raw = b"\x08\x01" + SOUND + IMAGE + SOUND
    data = [("audio/X", SOUND), ("", IMAGE), ("audio/x", SOUND)]
    [short], contents = packing.packed([raw], [data])
    assert contents == {
        sha256(SOUND).digest(): ("audio/x", SOUND),
        sha256(IMAGE).digest(): ("application/octet-stream", IMAGE),
    }
    assert packing.unpacked(short, lambda: by_digest) == raw
    assert len(short) < 200
    assert attachments.attached_rows([["p"]], [[7, "x", sent[3], None, None]]) == [
        [7, sha256(SOUND).digest(), "p"]
    ]
