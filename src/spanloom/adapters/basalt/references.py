"""What a trace names by reference (prompts, an experiment, evaluators), and the warnings about
references that do not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain

from spanloom.model import Experiment
from spanloom.model.checks import possible_id
from spanloom.model.prompt_versions import PromptVersions
from spanloom.v1 import trace_pb2

# As the hosted service words it; clients know no other text (docs/contracts/traces.md, section 2).
PROMPT_NOT_FOUND = (
    "No prompt found with the given slug or no production version found or no prompt found with"
    " the given version or tag (production version also missing)"
)


def prompt_slugs(trace: trace_pb2.Trace) -> set[str]:
    """The slugs of the prompts that the logs name, without those that no prompt can have."""
    return {prompt.slug for prompt in _prompts(trace) if possible_id(prompt.slug)}


def evaluator_slugs(trace: trace_pb2.Trace) -> set[str]:
    """The slugs of the evaluators that the trace and its logs name, without impossible ones."""
    return {slug for slug in _evaluators(trace) if possible_id(slug)}


def reference_warnings(
    trace: trace_pb2.Trace,
    prompts: Mapping[str, PromptVersions],
    experiment: Experiment | None,
    evaluators: Collection[str],
    *,
    may_read: bool = True,
) -> list[str]:
    """A line for each reference of the trace and its logs that the project does not have, each
    line once.

    Args:
        prompts: The project's prompts among `prompt_slugs(trace)`, by slug.
        experiment: The experiment that the trace names, None if the project does not have it.
        evaluators: The slugs among `evaluator_slugs(trace)` that the project has.
        may_read: Whether the caller may learn what is stored, beyond which names exist.
    """
    lines = [
        PROMPT_NOT_FOUND
        for prompt in _prompts(trace)
        if prompt.slug not in prompts
        or prompts[prompt.slug].select_or_fall_back(prompt.version, prompt.tag) is None
    ]
    if trace.HasField("experiment"):
        lines += _experiment_warnings(trace, experiment, may_read=may_read)
    lines += [
        f'No evaluator found with the slug "{slug}"'
        for slug in _evaluators(trace)
        if slug not in evaluators
    ]
    return list(dict.fromkeys(lines))


def _experiment_warnings(
    trace: trace_pb2.Trace, experiment: Experiment | None, *, may_read: bool
) -> list[str]:
    experiment_id = trace.experiment.id
    if experiment is None:
        return [f'No experiment found with the id "{experiment_id}"']
    slug = trace.feature_slug if trace.HasField("feature_slug") else trace.chain_slug
    if slug == experiment.feature_slug:
        return []
    feature = f'the feature "{experiment.feature_slug}"' if may_read else "another feature"
    return [
        f'The experiment "{experiment_id}" belongs to {feature},'
        f' but the trace belongs to "{slug}": the trace is not part of the experiment'
    ]


def _prompts(trace: trace_pb2.Trace) -> list[trace_pb2.PromptReference]:
    return [log.prompt for log in trace.logs if log.HasField("prompt")]


def _evaluators(trace: trace_pb2.Trace) -> list[str]:
    return [e.slug for e in chain(trace.evaluators, *(log.evaluators for log in trace.logs))]
