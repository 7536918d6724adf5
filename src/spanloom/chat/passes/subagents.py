"""Agents that a tool called, recorded beside the agent that called the tool.

OpenLLMetry's instrumentation of the OpenAI Agents SDK puts every agent below the workflow.
"""

from __future__ import annotations

from spanloom.chat.facts import AGENT, TOOL, Facts, FactsById
from spanloom.chat.messages import joined_text
from spanloom.chat.tree import SpanTree

# A result that more tools returned than that does not identify the caller.
_MOST_ALIKE = 8


def move_agents_into_tools(tree: SpanTree, facts: FactsById) -> tuple[SpanTree, FactsById]:
    """Put each such agent below the tool that called it.

    That is the only leaf tool span in another branch that overlaps the agent in time and whose
    result equals the agent's final text.
    """
    by_result: dict[str, list[Facts]] = {}
    for f in facts.values():
        if f.act == TOOL and f.tool_result and not tree.children.get(f.span.span_id):
            by_result.setdefault(f.tool_result, []).append(f)
    parents: dict[str, str] = {}
    for siblings in tree.families() if by_result else ():
        agents = {s: f for s in siblings if (f := facts[s]).act == AGENT} if siblings[1:] else {}
        for agent in agents.values() if len(agents) > 1 else ():
            callers = [
                tool
                for tool in by_result.get(_final_text(agent, tree, facts), ())[:_MOST_ALIKE]
                if (caller := agents.get(tool.span.parent_id)) and _ran_during(agent, tool, caller)
            ]
            if len(callers) == 1:
                parents[agent.span.span_id] = callers[0].span.span_id
    return tree.moved(parents), facts


def _final_text(agent: Facts, tree: SpanTree, facts: FactsById) -> str:
    answers = (facts[child] for child in reversed(tree.children.get(agent.span.span_id, ())))
    texts = (joined_text(f.outputs) for f in (*answers, agent) if f.outputs)
    return next(filter(None, texts), "")


def _ran_during(agent: Facts, tool: Facts, caller: Facts) -> bool:
    """Whether the agent ran within the tool's time.

    Each started after the span above it, so that no span is put below itself.
    """
    starts = (caller.span.start_ns, tool.span.start_ns, agent.span.start_ns)
    ends = (agent.span.end_ns, tool.span.end_ns)
    is_over = ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]
    return is_over and starts[0] <= starts[1] < starts[2]
