"""Buckets of tokens: what is let in in the long run, what is owed, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.errors import SpanloomError
from spanloom.model.limits import Limits
from spanloom.server import rates
from spanloom.server.rates import Bucket, CallMeter, Rates


class Projects:
    """The limits of projects, and how many spans they have."""

    def __init__(self, **own: Limits) -> None:
        self.limits: dict[str, Limits] = own
        self.spans: dict[str, int] = {}

    async def own(self) -> dict[str, Limits]:
        return self.limits

    async def change(self, project: str, changes: Mapping[str, int | None]) -> Limits:
        raise NotImplementedError

    async def stored_spans(self, projects: Collection[str]) -> dict[str, int]:
        return {project: self.spans.get(project, 0) for project in projects}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass."""
    now = 1000.0

    def passed(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("spanloom.server.rates.time.monotonic", lambda: now)
    return passed


def looked(store: Projects, **settings: Limits) -> Rates:
    made = Rates(store, **settings)  # type: ignore[arg-type]
    asyncio.run(made.look())
    return made


@given(
    st.floats(0.1, 1000),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5000)), min_size=1, max_size=40),
)
def test_a_bucket_keeps_its_rate_and_says_when_to_come_again(
    rate: float, calls: list[tuple[float, int]]
) -> None:
    now, bucket = 0.0, Bucket(rate, 0.0)
    taken, last = 0, 0
    for pause, number in calls:
        now += pause
        if wait := bucket.wait(rate, now):
            now += wait + 1e-6
            assert bucket.wait(rate, now) < 1e-3
        bucket.take(number)
        taken, last = taken + number, number
    # All but what the last one owes was paid by the time, and by the full bucket of the beginning.
    assert taken - last <= rate * now + max(1.0, rate) + 1


def test_a_key_and_its_project_have_a_limit_each(wait: Callable[[float], None]) -> None:
    made = looked(
        Projects(own=Limits(spans_per_second=100)),
        of_projects=Limits(spans_per_second=10),
        of_keys=Limits(spans_per_second=50),
    )

    def write(key_id: str, project: str, spans: int) -> str:
        meter = CallMeter(made, key_id, is_stream=False, writes=True)
        try:
            meter.begin()
            meter.enter(project)
            meter.charge(project, spans=spans)
        except SpanloomError as error:
            [[name, most]] = error.metadata.items()
            return f"{name} {most} {error.retry_after:.2f}"
        return "written"

    assert write("a", "other", 10) == "written"
    assert write("b", "other", 1) == "limit_spans_per_second 10 0.10"
    assert write("a", "own", 50) == "written"
    assert write("a", "own", 1) == "limit_key_spans_per_second 50 0.22"
    assert write("b", "own", 50) == "written"
    assert write("c", "own", 1) == "limit_spans_per_second 100 0.01"
    wait(1)
    assert write("c", "own", 1000) == "written"  # larger than the bucket
    assert write("b", "own", 1) == "limit_spans_per_second 100 9.01"
    assert write("", "third", 1) == "written"


def test_a_call_is_written_whole_and_a_message_of_a_stream_is_not(
    wait: Callable[[float], None],
) -> None:
    made = looked(Projects(), of_projects=Limits(spans_per_second=10))
    call = CallMeter(made, "k", is_stream=False, writes=True)
    for _ in range(3):
        call.charge("p", spans=500)
    messages = CallMeter(made, "k", is_stream=True, writes=False)
    with pytest.raises(SpanloomError) as refused:
        messages.charge("p", spans=1)
    assert (refused.value.reason, refused.value.retry_after) == ("RATE_LIMITED", 149.1)
    wait(149.2)
    messages.charge("p", spans=500)
    with pytest.raises(SpanloomError):
        messages.charge("p", spans=1)


def test_what_is_given_back_may_be_taken_again(wait: Callable[[float], None]) -> None:
    store = Projects(p=Limits(spans_per_second=10, stored_spans=10))
    made = looked(store, of_keys=Limits(bytes_per_second=100))
    for _ in range(5):  # refused by a full queue each time
        messages = CallMeter(made, "k", is_stream=True, writes=False)
        messages.charge("p", spans=10, size=100)
        messages.refund("p", spans=10, size=100)
    messages.charge("p", spans=10, size=100)
    with pytest.raises(SpanloomError) as refused:
        messages.charge("p", size=1)
    assert refused.value.reason == "RATE_LIMITED"
    wait(60)
    with pytest.raises(SpanloomError) as refused:
        messages.charge("p", spans=1)
    assert refused.value.reason == "QUOTA_EXCEEDED"


def test_each_process_has_a_part(wait: Callable[[float], None]) -> None:
    made = Rates(of_keys=Limits(requests_per_second=2), processes=4)
    meter = CallMeter(made, "k", is_stream=False, writes=False)
    meter.begin()
    with pytest.raises(SpanloomError, match="have 2 requests a second") as refused:
        meter.begin()
    assert refused.value.retry_after == 2.0


def test_a_changed_limit_counts_at_once(wait: Callable[[float], None]) -> None:
    store = Projects(p=Limits(requests_per_second=1))
    made = looked(store)

    def call() -> bool:
        try:
            CallMeter(made, "k", is_stream=False, writes=False).enter("p")
        except SpanloomError:
            return False
        return True

    assert [call() for _ in range(3)] == [True, False, False]
    store.limits = {"p": Limits(requests_per_second=100)}
    asyncio.run(made.look())
    wait(0.5)
    assert [call() for _ in range(52)] == [True] * 50 + [False] * 2
    store.limits = {"p": Limits(requests_per_second=0)}
    asyncio.run(made.look())
    assert all(call() for _ in range(500))


def test_a_quota_counts_what_was_written_since_the_look(wait: Callable[[float], None]) -> None:
    store = Projects(p=Limits(stored_spans=10))
    made = looked(store)

    def write(spans: int) -> bool:
        try:
            CallMeter(made, "k", is_stream=False, writes=True).charge("p", spans=spans)
        except SpanloomError as error:
            return error.reason != "QUOTA_EXCEEDED"
        return True

    assert [write(6), write(6), write(1)] == [True, True, False]
    store.spans["p"] = 12
    asyncio.run(made.look())
    assert not write(1)
    CallMeter(made, "k", is_stream=False, writes=True).charge("p", size=5)  # an update
    wait(1000)
    asyncio.run(made.look())
    assert not write(1)  # a full project is not forgotten
    store.spans["p"] = 9  # some were deleted
    asyncio.run(made.look())
    assert [write(1), write(1)] == [True, False]


def test_many_names_take_no_memory(
    wait: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_MOST_BUCKETS", 20)
    made = looked(Projects(), of_projects=Limits(requests_per_second=1))
    for number in range(100):
        CallMeter(made, "", is_stream=False, writes=False).enter(f"p{number}")
        wait(0.1)
    assert len(made._buckets) <= 21


def test_a_quota_is_known_after_a_start(wait: Callable[[float], None]) -> None:
    store = Projects(p=Limits(stored_spans=10))
    store.spans["p"] = 10
    made = looked(store)
    with pytest.raises(SpanloomError, match="may store 10 spans"):
        CallMeter(made, "k", is_stream=False, writes=True).charge("p", spans=1)
