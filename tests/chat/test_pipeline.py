"""The passes of the chat: what holds of each, whatever the spans are."""

from __future__ import annotations

import copy
import re

import pytest
from hypothesis import given, settings

from spanloom.chat.facts import derive
from spanloom.chat.tree import span_tree
from spanloom.chat.view import PASSES, TIMELINE_PASSES, Pass, TimelinePass
from spanloom.chat.walk import walk
from spanloom.model import Span
from tests.chat.test_properties import odd_spans


@pytest.mark.parametrize("step", [*PASSES, *TIMELINE_PASSES])
def test_each_pass_names_its_rule_and_the_section_of_the_contract(
    step: Pass | TimelinePass,
) -> None:
    assert step.rule
    assert re.fullmatch(r"[1-3]\.\d+", step.section)
    assert step.apply.__doc__


@settings(max_examples=30)
@given(odd_spans())
def test_a_pass_loses_no_span_and_changes_nothing_in_place(spans: list[Span]) -> None:
    facts, tree = derive(spans), span_tree(spans)
    for step in PASSES:
        before = repr((tree, facts))
        changed_tree, changed_facts = step.apply(tree, facts)
        assert repr((tree, facts)) == before
        assert sorted(changed_tree.downwards()) == sorted(facts)
        assert list(changed_facts) == list(facts)
        tree, facts = changed_tree, dict(changed_facts)


@settings(max_examples=30)
@given(odd_spans())
def test_a_pass_over_the_timeline_only_adds_or_reorders_messages(spans: list[Span]) -> None:
    facts = derive(spans)
    timeline = walk(span_tree(spans), facts, model_calls=True)
    for step in TIMELINE_PASSES:
        before = copy.copy(timeline.messages)
        changed = step.apply(timeline, facts)
        assert timeline.messages == before
        assert {id(m) for m in before} <= {id(m) for m in changed.messages}
        timeline = changed
