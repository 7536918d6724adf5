"""The checker finds what is wrong in small histories made by hand, and accepts every history of a
correct store.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.history import checker
from tests.history.checker import Violation, check
from tests.history.minimal import minimal, narrowed, projected
from tests.history.model import (
    EMPTY,
    INPUT,
    METADATA,
    Action,
    Create,
    Delete,
    GiveFeedback,
    Operation,
    ReadFeedback,
    ReadItems,
    ReadResult,
    Replace,
    Seen,
    State,
    Update,
)

FIELDS = (INPUT, METADATA)
ON_EVENT = ("span", "e")


def history(*actions: Action) -> list[Operation]:
    """The actions one after the other, each answered before the next begins."""
    return [Operation(10 * n, 10 * n + 5, action) for n, action in enumerate(actions)]


def create(marker: str, session: str = "s") -> Create:
    return Create(marker, (("e", session),))


def read(*values: str | None, session: str = "s") -> ReadItems:
    """The event as it was read; without values it was not there."""
    return ReadItems(FIELDS, (Seen("e", session, values),) if values else ())


def update(value: str | None) -> Update:
    return Update("e", ((METADATA, value),))


def trace(marker: str, *logs: str) -> Replace:
    return Replace(marker, "t", ("t", *logs))


def read_trace(**markers: str) -> ReadItems:
    seen = [Seen(span, "t", (marker,)) for span, marker in sorted(markers.items())]
    return ReadItems((INPUT,), tuple(seen), place="t")


def kinds(operations: list[Operation]) -> list[str]:
    return [violation.kind for violation in check(operations)]


EXPLAINED: dict[str, list[Action]] = {
    "nothing": [],
    "a create is read": [read(), create("1"), read("1", "1")],
    "the later create wins": [create("1"), create("2"), read("2", "2")],
    "an update survives a repeated create": [
        *(create("1"), update("u"), read("1", "u")),
        *(create("2"), read("2", "u")),
    ],
    "an update comes before its event": [update("u"), read(), create("1"), read("1", "u")],
    "null removes a key": [create("1"), update(None), create("2"), read("2", None)],
    "an event moves": [create("1"), create("2", "r"), read("2", "2", session="r")],
    "deleted, then made again": [
        *(create("1"), update("u"), Delete("event", "e", True), read()),
        *(create("2"), read("2", "2")),
    ],
    "nothing was there to be deleted": [Delete("session", "s", False), create("1")],
    "a trace is sent again": [
        *(trace("1", "a", "b"), read_trace(t="1", a="1", b="1")),
        *(trace("2", "a"), read_trace(t="2", a="2")),
    ],
    "a result comes late": [
        *(trace("1"), ReadResult("t", None), ReadResult("t", "1"), ReadResult("t", "1")),
        *(trace("2"), ReadResult("t", None), ReadResult("t", "2", settled=True)),
        *(Delete("trace", "t", True), ReadResult("t", None, settled=True)),
    ],
    "feedback": [
        *(GiveFeedback("f", ON_EVENT, "1"), ReadFeedback(ON_EVENT, (("f", "1"),))),
        *(GiveFeedback("f", ON_EVENT, "2"), ReadFeedback(ON_EVENT, (("f", "2"),))),
        *(create("3"), Delete("event", "e", True), ReadFeedback(ON_EVENT, ())),
    ],
    "a refused delete may delete what waited, or keep it": [
        *(update("u"), GiveFeedback("f", ON_EVENT, "1"), Delete("event", "e", False)),
        *(ReadFeedback(ON_EVENT, (("f", "1"),)), create("2"), read("2", "u")),
    ],
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_correct_history_has_no_violation(name: str) -> None:
    assert check(history(*EXPLAINED[name])) == []


VIOLATED: dict[str, tuple[str, list[Action]]] = {
    "lost update": (checker.LOST_UPDATE, [create("1"), update("u"), read("1", "1")]),
    "update lost by a repeated create": (
        checker.LOST_UPDATE,
        [create("1"), update("u"), create("2"), read("2", "2")],
    ),
    "half an update": (
        checker.LOST_UPDATE,
        [create("1"), Update("e", ((INPUT, "u"), (METADATA, "u"))), read("u", "1")],
    ),
    "update read once, then not": (
        checker.LOST_UPDATE,
        [create("1"), update("u"), update("v"), read("1", "v"), read("1", "u")],
    ),
    "stale read": (checker.STALE, [create("1"), create("2"), read("1", "1")]),
    "lost create": (checker.LOST, [create("1"), read()]),
    "resurrected delete": (
        checker.RETURNED,
        [create("1"), Delete("event", "e", True), read("1", "1")],
    ),
    "an update makes a deleted event": (
        checker.RETURNED,
        [create("1"), Delete("session", "s", True), update("u"), read("1", "u")],
    ),
    "a deleted update": (
        checker.LOST_UPDATE,
        [create("1"), update("u"), Delete("event", "e", True), create("2"), read("2", "u")],
    ),
    "duplicate": (
        checker.DUPLICATE,
        [
            *(create("1", "r"), create("2", "s")),
            ReadItems(FIELDS, (Seen("e", "r", ("1", "1")), Seen("e", "s", ("2", "2")))),
        ],
    ),
    "an event in the session it left": (
        checker.WRONG_SESSION,
        [create("1", "r"), create("2", "s"), read("2", "2", session="r")],
    ),
    "mixed trace": (
        checker.MIXTURE,
        [trace("1", "a", "b"), trace("2", "a"), read_trace(t="2", a="2", b="1")],
    ),
    "a part of a trace": (checker.MIXTURE, [trace("1", "a", "b"), read_trace(t="1", a="1")]),
    "a part of a batch": (
        checker.LOST,
        [
            Create("1", (("e", "s"), ("f", "s"))),
            ReadItems((INPUT,), (Seen("e", "s", ("1",)),)),
        ],
    ),
    "a value from nowhere": (checker.UNWRITTEN, [create("1"), read("0", "1")]),
    "lost feedback": (
        checker.FEEDBACK,
        [GiveFeedback("f", ON_EVENT, "1"), ReadFeedback(ON_EVENT, ())],
    ),
    "feedback on a deleted event": (
        checker.FEEDBACK,
        [
            *(create("1"), GiveFeedback("f", ON_EVENT, "2"), Delete("event", "e", True)),
            ReadFeedback(ON_EVENT, (("f", "2"),)),
        ],
    ),
    "the result of the version before": (
        checker.RESULT,
        [trace("1"), trace("2"), ReadResult("t", "1")],
    ),
    "a result that is lost": (
        checker.RESULT,
        [trace("1"), ReadResult("t", "1"), ReadResult("t", None)],
    ),
    "a result that never comes": (checker.RESULT, [trace("1"), ReadResult("t", None, True)]),
    "a delete that finds nothing": (checker.ANSWER, [create("1"), Delete("event", "e", False)]),
    "a delete that finds what is not there": (checker.ANSWER, [Delete("trace", "t", True)]),
}


@pytest.mark.parametrize("name", VIOLATED)
def test_a_wrong_history_has_one_violation(name: str) -> None:
    kind, actions = VIOLATED[name]
    assert kinds(history(*actions)) == [kind]


def test_concurrent_writes_may_be_in_either_order_but_in_one() -> None:
    writes = [Operation(0, 100, create("1")), Operation(0, 100, create("2"))]
    for first, second in (("1", "2"), ("2", "1")):
        during = [Operation(10, 20, read(first, first)), Operation(30, 40, read(second, second))]
        assert kinds([*writes, *during]) == []
        back = Operation(50, 60, read(first, first))
        assert kinds([*writes, *during, back]) == [checker.STALE]
        after = [Operation(110, 120, read("1", "1")), Operation(130, 140, read("2", "2"))]
        assert kinds([*writes, *after]) == [checker.STALE]


def test_a_write_without_an_answer_may_happen_late_but_once() -> None:
    lost = Operation(0, None, create("1"))
    seen, absent = read("1", "1"), read()
    for reads in ([absent, absent], [absent, seen], [seen, seen]):
        at = [Operation(10 * n + 1, 10 * n + 2, one) for n, one in enumerate(reads, 1)]
        assert kinds([lost, *at]) == []
    at = [Operation(11, 12, seen), Operation(21, 22, absent)]
    assert kinds([lost, *at]) == [checker.LOST]


def test_a_batch_without_an_answer_is_whole_or_absent() -> None:
    lost = Operation(0, None, Create("1", (("e", "s"), ("f", "s"))))
    half = Operation(10, 20, ReadItems((INPUT,), (Seen("f", "s", ("1",)),)))
    assert len(check([lost, half])) == 1


def test_a_delete_that_overlaps_a_write_may_be_before_it() -> None:
    operations = [
        *history(create("1")),
        Operation(10, 30, create("2")),
        Operation(20, 40, Delete("event", "e", True)),
    ]
    assert kinds([*operations, Operation(50, 60, read("2", "2"))]) == []
    assert kinds([*operations, Operation(50, 60, read())]) == []
    assert kinds([*operations, Operation(50, 60, read("1", "1"))]) == [checker.STALE]


def test_deletes_that_overlap_may_both_have_deleted() -> None:
    delete = Delete("event", "e", True)
    both = [Operation(10, 30, delete), Operation(20, 40, delete)]
    assert kinds([*history(create("1")), *both]) == []
    after = [Operation(10, 30, delete), Operation(31, 40, delete)]
    assert kinds([*history(create("1")), *after]) == [checker.ANSWER]


def test_the_search_goes_on_after_a_violation() -> None:
    operations = history(
        *(create("1"), update("u"), read("1", "1"), read("1", "u")),
        *(create("2"), read("1", "u"), read("2", "u")),
    )
    assert kinds(operations) == [checker.LOST_UPDATE, checker.STALE]


def test_too_many_explanations_are_not_taken_for_none() -> None:
    operations = [Operation(n, None, create(str(n))) for n in range(8)]
    with pytest.raises(checker.UndecidedError):
        check([*operations, Operation(20, 30, read("x", "x"))], most=100)


def test_the_minimal_history_shows_what_matters() -> None:
    operations = history(
        *(create("1"), read("1", "1"), GiveFeedback("f", ON_EVENT, "0"), update("u")),
        *(read("1", "u"), create("2"), read("2", "u"), read("2", "2"), create("3")),
    )
    (violation,) = check(operations)
    assert violation == Violation(
        checker.LOST_UPDATE, operations[7], repr((Seen("e", "s", ("2", "u")),))
    )
    of_event = narrowed(operations, violation)
    assert of_event is not None
    smaller = minimal(*of_event)
    assert operations[8] not in smaller
    last = replace(read("2", "2"), id="e")
    assert [one.action for one in smaller if isinstance(one.action, ReadItems)] == [last]
    assert [one.action for one in smaller if one.ended is not None] == [update("u"), last]


def _random_action(rng: random.Random, marker: str) -> Action:
    item, place = rng.choice("ef"), rng.choice("st")
    actions: list[Action] = [
        Create(marker, ((item, place),)),
        Create(marker, (("e", place), ("f", rng.choice("st")))),
        Replace(marker, "t", ("t", *rng.sample("ab", rng.randrange(3)))),
        Update(item, ((rng.choice(FIELDS), rng.choice([marker, None])),)),
        GiveFeedback(item, ("span", item), marker),
        Delete(rng.choice(["event", "session", "trace"]), rng.choice("este"), None),
        ReadItems(FIELDS, ()),
        ReadItems(FIELDS, (), id=item),
        ReadItems((INPUT,), (), place=place),
        ReadFeedback(("span", item), ()),
        ReadResult("t", None),
    ]
    return rng.choice(actions)


def _run(seed: int, clients: int = 4, count: int = 40) -> list[Operation]:
    """A history of a store that is correct: each operation takes effect at one instant between its
    beginning and its end.
    """
    rng = random.Random(seed)
    free, state = [0] * clients, EMPTY
    planned = []
    for number in range(count):
        client = rng.randrange(clients)
        began = free[client] + rng.randrange(1, 10)
        ended = began + rng.randrange(2, 60)
        free[client] = ended
        planned.append((rng.uniform(began, ended), began, ended, number))
    operations = []
    for _, began, ended, number in sorted(planned):
        action, state = _carried_out(_random_action(rng, str(number)), state, rng)
        answered = isinstance(action, ReadItems | ReadFeedback | ReadResult) or rng.random() > 0.1
        if not answered and isinstance(action, Delete):
            action = Delete(action.kind, action.id, None)
        operations.append(Operation(began, ended if answered else None, action))
    return operations


def _carried_out(action: Action, state: State, rng: random.Random) -> tuple[Action, State]:
    """The action with its answer, and the state after it."""
    if isinstance(action, ReadItems):
        return ReadItems(action.fields, action.shown(state), action.id, action.place), state
    if isinstance(action, ReadFeedback):
        return ReadFeedback(action.target, action.shown(state)), state
    if isinstance(action, ReadResult):
        version = action.version(state)
        shown = version if action.place in state.judged or rng.random() < 0.5 else None
        action = ReadResult(action.place, shown)
    if isinstance(action, Delete):
        found = bool(Delete(action.kind, action.id, True).apply(state))
        action = Delete(action.kind, action.id, found)
    return action, rng.choice(action.apply(state))


@given(st.integers(0, 2**32))
def test_every_history_of_a_correct_store_is_accepted(seed: int) -> None:
    assert check(_run(seed)) == []


@given(st.integers(0, 2**32), st.sampled_from("eft"))
def test_what_happened_to_one_event_of_a_correct_store_is_accepted(seed: int, item: str) -> None:
    of_item = [projected(one, item) for one in _run(seed)]
    assert check([one for one in of_item if one is not None]) == []


@given(st.integers(0, 2**32))
def test_a_read_that_shows_another_value_is_found(seed: int) -> None:
    operations = _run(seed)
    last = max(one.ended or one.began for one in operations)
    wrong = Operation(last + 1, last + 2, ReadItems(FIELDS, (Seen("e", "s", ("nobody", "0")),)))
    assert kinds([*operations, wrong]) == [checker.UNWRITTEN]
