"""A span whose row, body or envelope is damaged: reading it alone fails, with an error that names
it; lists show its columns, and it can be written again or deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from spanloom.adapters.otlp.write import traces_data
from spanloom.errors import Code, SpanloomError
from spanloom.model import EventQuery, Filter, Io, Span, SpokenQuery
from spanloom.model.changes import StoredSpan
from spanloom.model.span import DAMAGED, Sent
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

PROJECT = "p"
FAILED = Filter(field="error", operator="exists", value=None)
OF_SPAN = "WHERE span_version = (SELECT version FROM spans WHERE span_id = 'bad')"


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    return replace(columns, io=Io(inputs=message.decode()), sent=Sent(adapter))


def execute(statement: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(text(statement))


def cut(connection: Connection) -> None:
    [[frame]] = connection.execute(text(f"SELECT sent FROM bodies {OF_SPAN}"))
    changed = text(f"UPDATE bodies SET sent = :sent {OF_SPAN}")
    connection.execute(changed, {"sent": bytes(frame)[:-3]})


def overwrite(connection: Connection) -> None:
    connection.execute(text(f"UPDATE bodies SET sent = :sent {OF_SPAN}"), {"sent": b"no frame"})


DAMAGE: dict[str, Callable[[Connection], Any]] = {
    "no body": execute(f"DELETE FROM bodies {OF_SPAN}"),
    "no envelope": execute(
        f"DELETE FROM envelopes WHERE digest = (SELECT envelope FROM bodies {OF_SPAN})"
    ),
    "a body that is cut": cut,
    "a body that is overwritten": overwrite,
    "no JSON of parts": execute(f"UPDATE bodies SET adapter = '' {OF_SPAN}"),
    "no JSON of updates": execute(f"UPDATE bodies SET updates = '{{' {OF_SPAN}"),
}


async def stored_spans(store: Store) -> Sequence[StoredSpan]:
    found = await store.summaries.stored([PROJECT], 0, limit=10, size=1000)
    return found.spans


def sent(span_id: str, trace_id: str) -> Span:
    told = Sent("x", {}, b"a message of " + span_id.encode(), b"envelope of " + span_id.encode())
    return replace(a_span(span_id, trace_id, start_ns=5), sent=told)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_span_is_named_and_keeps_no_other_from_being_read(
    empty_url: str, run: Run[Any], damage: str
) -> None:
    async def play() -> None:
        store = await Store.open(empty_url, restore=restore)
        await store.write_spans(PROJECT, [sent("good", "t"), sent("bad", "u")])
        await store._write(lambda transaction: DAMAGE[damage](transaction.connection))
        asked = [Filter(field="inputs", operator="is", value="a message of bad")]
        await store.indexer.catch_up()
        await store.follower.catch_up()
        by_name: list[Callable[[], Any]] = [
            lambda: store.find_span(PROJECT, "u", "bad"),
            lambda: store.find_event(PROJECT, "bad"),
        ]
        for read in by_name:
            with pytest.raises(SpanloomError, match="'bad' of the trace 'u'") as raised:
                await read()
            assert raised.value.code == Code.DATA_LOSS
        listed = [
            await store.trace_spans(PROJECT, "u"),
            await store.session_spans(PROJECT, "u"),
            (await store.find_events(PROJECT, EventQuery())).items,
            (await store.find_events(PROJECT, EventQuery(filters=[FAILED]))).items,
            await store.speaking_spans(PROJECT, SpokenQuery(text="is damaged in"), limit=5),
            [one.span for one in await stored_spans(store)],
        ]
        for spans in listed:
            [shown] = [span for span in spans if span.span_id == "bad"]
            assert shown.sent is DAMAGED
            assert "is damaged" in str(shown.io.error)
            assert (shown.name, shown.start_ns, shown.version > 0) == ("", 5, True)
        with pytest.raises(SpanloomError, match="'bad' of the trace 'u'"):
            traces_data(listed[0])
        assert (await store.find_events(PROJECT, EventQuery(filters=asked))).total == 0
        assert [span.span_id for span in await store.trace_spans(PROJECT, "t")] == ["good"]
        # An update waits until the span is written again.
        await store.patch_event(PROJECT, "bad", {"name": "updated"})
        await store.write_spans(PROJECT, [sent("bad", "u")])
        [span] = await store.trace_spans(PROJECT, "u")
        assert (span.io.inputs, span.name) == ("a message of bad", "updated")
        await store._write(lambda transaction: DAMAGE[damage](transaction.connection))
        assert await store.delete_spans(PROJECT, [("u", "bad")]) == 1
        assert (await store.find_events(PROJECT, EventQuery())).total == 1
        await store.close()

    run(play())
