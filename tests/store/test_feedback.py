"""Feedback: by id, by what it is on, and by ref and type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import Feedback
from spanloom.store.store import Store
from tests.store.conftest import Run

FULL = Feedback(
    id="f",
    target="span",
    target_id="s",
    trace_id="t",
    ref="weave:///e/p/call/s",
    type="wandb.reaction.1",
    creator="ada",
    created_ns=5,
    body={"payload": {"emoji": "👍"}, "\0": None},
)


def test_feedback_comes_back_as_it_was_written(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_feedback(project, FULL))
    assert run(store.feedback_on(project, [("span", "s")])) == [FULL]
    found = run(store.find_feedback(project, limit=10))
    assert (found.items, found.total) == ([FULL], 1)


def test_the_same_id_again_replaces(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_feedback(project, FULL))
    later = Feedback(id="f", target="trace", target_id="t")
    run(store.write_feedback(project, later))
    assert run(store.find_feedback(project, limit=10)).items == [later]
    assert run(store.feedback_on(project, [("span", "s")])) == []


def test_projects_are_walls(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_feedback(project, FULL))
    other = f"{project}-other"
    run(store.write_feedback(other, replace(FULL, creator="other")))
    assert run(store.feedback_on(project, [("span", "s")])) == [FULL]
    assert run(store.find_feedback(project, limit=10)).items == [FULL]


def test_feedback_on_any_number_of_targets_comes_oldest_first(
    store: Store, run: Run[Any], project: str
) -> None:
    targets = [("span", "a'b"), ("span", "c"), ("trace", "c"), ("", "x"), ("conversation", "c")]
    for number, (target, target_id) in enumerate(reversed(targets)):
        feedback = Feedback(
            id=str(number), target=target, target_id=target_id, created_ns=number // 2
        )
        run(store.write_feedback(project, feedback))
    wanted = [("span", "a'b"), ("trace", "c"), ("", "x"), ("span", "unknown")]
    found = run(store.feedback_on(project, wanted))
    assert [(f.target, f.target_id) for f in found] == [("", "x"), ("trace", "c"), ("span", "a'b")]
    many = [("span", str(number)) for number in range(40_000)]
    assert len(run(store.feedback_on(project, [*many, *wanted]))) == 3
    assert run(store.feedback_on(project, [])) == []


def test_feedback_is_found_by_ref_and_type_newest_first(
    store: Store, run: Run[Any], project: str
) -> None:
    for number in range(12):
        run(
            store.write_feedback(
                project,
                Feedback(
                    id=f"{number:02}",
                    ref="ab"[number % 2],
                    type="xyz"[number % 3],
                    created_ns=number // 4,
                ),
            )
        )

    def found(**asked: Any) -> tuple[list[str], int]:
        page = run(store.find_feedback(project, **asked))
        return [f.id for f in page.items], page.total

    assert found(limit=3) == (["11", "10", "09"], 12)
    assert found(limit=3, offset=9) == (["02", "01", "00"], 12)
    assert found(limit=3, offset=12) == ([], 12)
    assert found(ref="a", limit=9) == (["10", "08", "06", "04", "02", "00"], 6)
    assert found(ref="a", type="x", limit=9) == (["06", "00"], 2)
    assert found(ref="A", limit=9) == ([], 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "x" * 257), ("creator", "\0"), ("created_ns", 2**63), ("payload", "\ud800")],
)
def test_what_no_database_can_hold_is_refused_by_name(
    store: Store, run: Run[Any], project: str, field: str, value: Any
) -> None:
    changes = {"body": {field: value}} if field == "payload" else {field: value}
    with pytest.raises(SpanloomError) as refused:
        run(store.write_feedback(project, replace(FULL, **changes)))
    assert [v.field for v in refused.value.violations] == [field]
