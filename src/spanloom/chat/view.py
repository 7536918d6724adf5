"""The chat view of one trace: its spans as one linear timeline.

spans  --derive-->  facts of each span, and the tree of spans
       --PASSES-->  the same, changed by one rule after the other
       --walk-->    a timeline of messages
       --TIMELINE_PASSES-->  the same, changed by one rule after the other

Rules: docs/contracts/agent_chat.md, section 1.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from spanloom.chat.facts import FactsById, derive
from spanloom.chat.passes.executions import complete_executions, merge_nested_executions
from spanloom.chat.passes.handoffs import place_handoffs
from spanloom.chat.passes.questions import add_missing_question, put_question_first
from spanloom.chat.passes.relayed import drop_copied_texts, only_in_copies
from spanloom.chat.passes.repeats import drop_repeated_requests, nest_repeated_calls
from spanloom.chat.passes.requests import order_after_requests
from spanloom.chat.passes.subagents import move_agents_into_tools
from spanloom.chat.timeline import Timeline
from spanloom.chat.totals import turn_times, turn_use
from spanloom.chat.tree import SpanTree, root_of, span_tree
from spanloom.chat.walk import walk
from spanloom.codec.gradual_release import release_gradually
from spanloom.model.turn import ChatMessage, TurnChat

if TYPE_CHECKING:
    from spanloom.model import Span


class Pass(NamedTuple):
    """A rule of the chat, its section in docs/contracts/agent_chat.md, and its function.

    `with_model_calls` marks a rule that holds only where the tool calls in models' messages are
    shown too.
    """

    rule: str
    section: str
    apply: Callable[[SpanTree, FactsById], tuple[SpanTree, FactsById]]
    with_model_calls: bool = False


class TimelinePass(NamedTuple):
    """As `Pass`, of a rule for the messages."""

    rule: str
    section: str
    apply: Callable[[Timeline, FactsById], Timeline]


PASSES: Final = (
    Pass("a model call that was recorded twice is shown once", "3.4", nest_repeated_calls),
    Pass("so are the tool calls that it requested", "3.4", drop_repeated_requests),
    Pass("a tool call that was recorded twice is shown once", "3.4", merge_nested_executions),
    Pass("a tool call has the arguments and the result of messages", "2.7", complete_executions),
    Pass("an agent is shown inside the tool call that started it", "2.8", move_agents_into_tools),
    Pass("a tool call is shown after its request", "2.7", order_after_requests, True),
    # Texts that are nowhere else are put back after the walk.
    Pass("a text that a message bus repeats is shown once", "3.4", drop_copied_texts),
)
TIMELINE_PASSES: Final = (
    TimelinePass("a handoff is shown where one is visible", "3.10", place_handoffs),
    TimelinePass("a turn has a question even if no model call has it", "2.6", add_missing_question),
    TimelinePass("the question is shown before the agent's start", "2.6", put_question_first),
)


def trace_chat(
    trace_id: str, spans: Sequence[Span], *, include_model_tool_calls: bool = False
) -> TurnChat:
    """The turn that the spans of one trace make; their order does not matter.

    Of several spans with one id the last counts. `include_model_tool_calls` also shows the tool
    calls that are only in models' messages, with their results, and puts each tool span behind the
    model call that requested it. No data makes it raise. Its work is linear in the size of the
    spans, except that it sorts them.
    """
    unique = list({span.span_id: span for span in spans}.values())
    if not unique:
        return TurnChat(trace_id=trace_id)
    derived = derive(unique)
    facts: FactsById = derived
    tree = span_tree(unique)
    for step in PASSES:
        if include_model_tool_calls or not step.with_model_calls:
            tree, facts = step.apply(tree, facts)
    messages = _messages(tree, facts, model_calls=include_model_tool_calls)
    if relays := only_in_copies(derived, messages):
        facts = {**facts, **relays}
        messages = _messages(tree, facts, model_calls=include_model_tool_calls)
    root = facts[root_of(unique).span_id]
    started_ns, ended_ns, total_ms = turn_times(root, unique)
    used = turn_use(tree, facts)
    turn = TurnChat(
        trace_id=trace_id,
        root_span_name=root.span.agent_name or root.span.name or None,
        agent_name=root.span.agent_name or None,
        agent_version=root.agent_version or None,
        status_code=root.status,
        provider=root.span.provider.lower() or None,
        started_ns=started_ns,
        ended_ns=ended_ns,
        user_id=root.user_id,
        total_duration_ms=total_ms,
        total_cost_usd=used.cost,
        total_input_tokens=used.input_tokens,
        total_output_tokens=used.output_tokens,
        total_reasoning_tokens=used.reasoning_tokens,
        total_cache_creation_input_tokens=used.cache_creation_tokens,
        total_cache_read_input_tokens=used.cache_read_tokens,
        messages=tuple(messages),
    )
    release_gradually(derived)
    release_gradually(facts)
    return turn


def _messages(tree: SpanTree, facts: FactsById, *, model_calls: bool) -> Sequence[ChatMessage]:
    timeline = walk(tree, facts, model_calls=model_calls)
    for step in TIMELINE_PASSES:
        timeline = step.apply(timeline, facts)
    return timeline.messages
