"""Agents that a tool called, where an instrumentation hangs them beside the agent that called the tool (OpenLLMetry's of the
OpenAI Agents SDK, which hangs every agent under the workflow)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spanloom.chat.facts import AGENT, TOOL, Facts
from spanloom.chat.messages import joined_text
from spanloom.chat.tree import SpanTree

# Results that are said more often than that do not tell who called whom.
_MOST_ALIKE = 8


def agents_inside_tools(tree: SpanTree, facts: Mapping[str, Facts]) -> SpanTree:
    """The tree with each such agent below the tool: the only one without anything below it that ran all the while beside the
    agent's own branch, and gave back the agent's last words."""
    by_result: dict[str, list[Facts]] = {}
    for f in facts.values():
        if f.act == TOOL and f.tool_result and not tree.children.get(f.span.span_id):
            by_result.setdefault(f.tool_result, []).append(f)
    moved: dict[str, str] = {}
    for siblings in (tree.roots, *tree.children.values()) if by_result else ():
        agents = {s: f for s in siblings if (f := facts[s]).act == AGENT} if siblings[1:] else {}
        for agent in agents.values() if len(agents) > 1 else ():
            callers = [
                tool
                for tool in by_result.get(_last_words(agent, tree, facts), ())[:_MOST_ALIKE]
                if (caller := agents.get(tool.span.parent_id)) and _ran_during(agent, tool, caller)
            ]
            if len(callers) == 1:
                moved[agent.span.span_id] = callers[0].span.span_id
    if not moved:
        return tree
    children = {parent: _without(moved, inner) for parent, inner in tree.children.items()}
    for agent_id, tool_id in moved.items():
        children[tool_id] = [*children.get(tool_id, ()), agent_id]
    return replace(tree, roots=_without(moved, tree.roots), children=children)


def _last_words(agent: Facts, tree: SpanTree, facts: Mapping[str, Facts]) -> str:
    said = (facts[child] for child in reversed(tree.children.get(agent.span.span_id, ())))
    texts = (joined_text(f.outputs) for f in (*said, agent) if f.outputs)
    return next(filter(None, texts), "")


def _ran_during(agent: Facts, tool: Facts, caller: Facts) -> bool:
    """Whether the agent ran within the tool's time. Each started after the one above it, so that none comes below itself."""
    starts = (caller.span.start_ns, tool.span.start_ns, agent.span.start_ns)
    ends = (agent.span.end_ns, tool.span.end_ns)
    is_over = ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]
    return is_over and starts[0] <= starts[1] < starts[2]


def _without(moved: Mapping[str, str], siblings: Sequence[str]) -> list[str]:
    return [span_id for span_id in siblings if span_id not in moved]
