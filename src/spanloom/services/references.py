"""What a trace names by reference (prompts, experiments, evaluators), and what to tell of those that are not there.

Nothing in Spanloom makes any of them yet, so none is there.
"""

from __future__ import annotations

from itertools import chain

from spanloom.store.store import Store
from spanloom.v1 import trace_pb2

# As the hosted service words it; clients know no other text (contract "traces", section 2).
PROMPT_NOT_FOUND = (
    "No prompt found with the given slug or no production version found or no prompt found with the given version or tag "
    "(production version also missing)"
)


async def warnings(store: Store, project: str, trace: trace_pb2.Trace) -> list[str]:
    """A line for each reference of the trace and its logs that does not resolve in the project; no line twice."""
    lines = [PROMPT_NOT_FOUND for log in trace.logs if log.HasField("prompt")]
    if trace.HasField("experiment"):
        lines.append(f'No experiment found with the id "{trace.experiment.id}"')
    evaluators = chain(trace.evaluators, *(log.evaluators for log in trace.logs))
    lines += [f'No evaluator found with the slug "{evaluator.slug}"' for evaluator in evaluators]
    return list(dict.fromkeys(lines))
