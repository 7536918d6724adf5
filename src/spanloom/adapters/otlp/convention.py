"""What a convention is: a table of attribute keys, and a function for what no table can say.

A convention offers values for these canonical fields. The first offer that is not null is taken, in
the order of `spanloom.adapters.otlp.draft.CONVENTIONS`. `COLUMNS` are those of which columns, the
row of the trace and the choice for evaluation are made:

    operation            gen_ai.operation.name; "chain" for a step that says it is no more than that
    kind                 event type: model, tool, chain, session
    name                 the event's name, where it is not the span's
    agent_name, agent_id, agent_version, agent_description
    provider, model, response_model
    input_tokens, output_tokens, reasoning_tokens, cache_read_tokens, cache_creation_tokens
    cost, input_cost, output_cost            US dollars
    input_messages, output_messages          lists of GenAiMessage (`spanloom.model.genai`)
    reasoning                                text, where it is not in the messages
    system_instructions                      text
    input_value, output_value                any JSON: the input and the output of any step
    prompt, completion                       any JSON: those of a model's step (gen_ai.prompt)
    tool_name, tool_call_id, tool_type, tool_description, tool_arguments, tool_result,
    tool_definitions
    session_id, event_id, duration_ms, error, error_type, status_message
    content_refs, compaction_summary, compaction_items_before, compaction_items_after
    handoff_from, handoff_to                 agents
    relayed                                  true: the messages are a copy of what other spans said
    is_turn                                  true: the input is what the user said, and the output
                                             what the user received
    inputs, outputs, metadata, config, metrics, feedback, user_properties, error, source
                                             the values of an event (`spanloom.model.span.Io`)
    log_type, feature_slug, sample_rate, sampled
                                             what Basalt says, as in the model
    user, organization                       {id?, name?}; user_id: the id alone
    experiment                               {id}
    evaluators                               [{slug}]
    evaluation_config                        {sample_rate}: the rate as the client gave it
    prompt_used                              {slug, version?, tag?}
    variables                                [{label, value}]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from spanloom.genai.reading import Reader
from spanloom.model import Json

Draft = dict[str, Any]
Offers = Mapping[str, Json]
Rule = tuple[str, str, Reader]

COLUMNS: Final = frozenset(
    {
        *("operation", "kind", "name", "agent_name", "agent_version", "provider"),
        *("model", "response_model", "input_tokens", "output_tokens"),
        *("cache_read_tokens", "cache_creation_tokens", "cost", "input_cost", "output_cost"),
        *("session_id", "event_id", "duration_ms", "error", "log_type"),
        *("feature_slug", "sample_rate", "sampled", "user", "user_id", "organization"),
        *("experiment", "evaluators", "evaluation_config"),
    }
)


@dataclass(slots=True)  # made for each span: freezing one costs as much as the rest of it
class SpanSource:
    """An OTLP span as ordinary JSON: what conventions read. `events` are (name, attributes)."""

    name: str
    scope: str
    attributes: Mapping[str, Json]
    events: Sequence[tuple[str, Mapping[str, Json]]] = ()
    failed: bool = False
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Convention:
    """A table of attribute keys, and two functions.

    `rules` are (attribute key, canonical field, reader), the earlier before the later.

    The functions return further offers. They are called for spans that have attributes with one of
    `prefixes` (`found` are those), that are of one of `scopes`, or that have events whose name
    starts with one of `events`. `draft` holds the offers taken so far, from this convention's rules
    and from all conventions before it. A function may modify `draft` to correct values that the SDK
    reports wrongly; it never fills in a missing value there, but offers it.

    `columns(source, draft)` offers fields of `COLUMNS`, and is called when a span comes, for its
    columns alone, too: it reads no more of the attributes than it needs. `contents(source, found,
    draft)` is called after it, when the whole span is read, and offers other fields. `tells` are
    those of them that a later convention may look for in `draft`, and those by which a span that
    does not tell its operation is known.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    prefixes: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    columns: Callable[[SpanSource, Draft], Offers] | None = field(default=None)
    contents: Callable[[SpanSource, Mapping[str, Json], Draft], Offers] | None = field(default=None)
    tells: tuple[str, ...] = ()
