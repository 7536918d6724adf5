"""What a trace names by reference (prompts, experiments, evaluators), and what to tell of those that are not there."""

from __future__ import annotations

from itertools import chain

from spanloom.model.checks import possible_id
from spanloom.services.prompt_versions import PromptVersions
from spanloom.store.control import ControlStore
from spanloom.v1 import trace_pb2

# As the hosted service words it; clients know no other text (docs/contracts/traces.md, section 2).
PROMPT_NOT_FOUND = (
    "No prompt found with the given slug or no production version found or no prompt found with the given version or tag "
    "(production version also missing)"
)


async def warnings(store: ControlStore, project: str, trace: trace_pb2.Trace) -> list[str]:
    """A line for each reference of the trace and its logs that does not resolve in the project; no line twice."""
    lines = [
        *await _of_prompts(store, project, trace),
        *await _of_experiment(store, project, trace),
        *await _of_evaluators(store, project, trace),
    ]
    return list(dict.fromkeys(lines))


async def _of_prompts(store: ControlStore, project: str, trace: trace_pb2.Trace) -> list[str]:
    named = [log.prompt for log in trace.logs if log.HasField("prompt")]
    slugs = {prompt.slug for prompt in named if possible_id(prompt.slug)}
    if not named:
        return []
    found = PromptVersions.by_slug(*await store.catalog.prompts(project, slugs))
    return [
        PROMPT_NOT_FOUND
        for prompt in named
        if prompt.slug not in found
        or found[prompt.slug].resolve(prompt.version, prompt.tag) is None
    ]


async def _of_experiment(store: ControlStore, project: str, trace: trace_pb2.Trace) -> list[str]:
    if not trace.HasField("experiment"):
        return []
    experiment_id = trace.experiment.id
    found = (
        await store.catalog.experiment(project, experiment_id)
        if possible_id(experiment_id)
        else None
    )
    if found is None:
        return [f'No experiment found with the id "{experiment_id}"']
    slug = trace.feature_slug if trace.HasField("feature_slug") else trace.chain_slug
    if slug != found.feature_slug:
        return [
            f'The experiment "{experiment_id}" is of the feature "{found.feature_slug}", the trace is of "{slug}": '
            "it is not part of the experiment"
        ]
    return []


async def _of_evaluators(store: ControlStore, project: str, trace: trace_pb2.Trace) -> list[str]:
    named = [e.slug for e in chain(trace.evaluators, *(log.evaluators for log in trace.logs))]
    if not named:
        return []
    slugs = {slug for slug in named if possible_id(slug)}
    known = {e.slug for e in await store.catalog.evaluators(project, slugs)}
    return [f'No evaluator found with the slug "{slug}"' for slug in named if slug not in known]
