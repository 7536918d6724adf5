"""Updates of an event give the same event whenever they come."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spanloom.model.patch import joined, patched
from tests.store.samples import a_span

MS = 1_000_000
# A duration of the event's own, which no start and end below have between them: one that they have
# follows them.
TOLD = 77.7
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "model", "prompt_tokens", "cost"]),
    st.sampled_from([None, 1, 0.5, "x"]),
    max_size=3,
)
TIMES = st.integers(0, 9).map(lambda ms: ms * MS)
UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": OBJECTS,
        "config": OBJECTS,
        "outputs": st.sampled_from([{"a": 1}, {"b": 2}]),
        "error": st.sampled_from(["", "boom"]),
        "name": st.sampled_from(["one", "two"]),
        "start_ns": TIMES,
        "end_ns": TIMES,
        "duration_ms": st.integers(0, 4).map(float),
    },
)


@given(
    updates=st.lists(UPDATES, min_size=1, max_size=4),
    end_ns=st.none() | TIMES,
    duration_ms=st.sampled_from([None, TOLD]),
    start_unknown=st.booleans(),
)
def test_updates_one_by_one_are_as_all_at_once(
    updates: list[dict[str, object]],
    end_ns: int | None,
    duration_ms: float | None,
    start_unknown: bool,
) -> None:
    body = {"metadata": {"a": 0}, "config": {"model": "m"}}
    event = replace(
        a_span("e", "s", body, start_ns=MS, end_ns=end_ns, duration_ms=duration_ms),
        start_unknown=start_unknown,
    )
    updated = event
    for number in range(1, len(updates) + 1):
        updated = patched(updated, joined(updates[:number]))
    assert updated == patched(event, joined(updates))
