"""ExperimentService: what proto/spanloom/v1/experiment_service.proto promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import fmean, median

from spanloom.adapters.basalt.write import listed_trace
from spanloom.codec.json_path import json_path
from spanloom.codec.page_token import list_query, token_page
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import invalid_field, not_found
from spanloom.model import Experiment, TraceQuery, dashed, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.services.context import CallContext
from spanloom.services.repeats import answer_once
from spanloom.store.once import Once
from spanloom.store.store import Store
from spanloom.v1 import experiment_pb2, experiment_service_pb2

_BINS = 10


class ExperimentService:
    """Experiments in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_experiment(
        self, request: experiment_service_pb2.CreateExperimentRequest, call: CallContext
    ) -> experiment_service_pb2.CreateExperimentResponse:
        project = call.project()
        violations = Violations(spelled=json_path(type(request)))
        violations.check_id("feature_slug", request.feature_slug)
        if not request.name:
            violations.add("name", "is required")
        violations.check_text("name", request.name)
        violations.refuse()
        experiment = Experiment(
            id=dashed(uuid7()),
            name=request.name,
            feature_slug=request.feature_slug,
            created_ns=call.received_ns,
        )
        response = experiment_service_pb2.CreateExperimentResponse(
            id=experiment.id,
            name=experiment.name,
            feature_slug=experiment.feature_slug,
            created_at=timestamp_from_ns(experiment.created_ns),
        )

        async def create(once: Once) -> experiment_service_pb2.CreateExperimentResponse:
            await self._store.ensure_project(project)
            answering = once.answering(lambda _: response.SerializeToString())
            await self._store.catalog.create_experiment(project, experiment, answering)
            return response

        return await answer_once(self._store, project, request, type(response), create)

    async def list_experiments(
        self, request: experiment_service_pb2.ListExperimentsRequest, call: CallContext
    ) -> experiment_service_pb2.ListExperimentsResponse:
        project = call.project()
        violations = Violations(spelled=json_path(type(request)))
        violations.check_text("feature_slug", request.feature_slug)
        violations.refuse()
        page = await token_page(
            request,
            lambda limit, after: self._store.catalog.list_experiments(
                project, feature_slug=request.feature_slug, limit=limit, after=after
            ),
            lambda experiment: (experiment.created_ns, experiment.id),
            query=list_query("experiments", feature_slug=request.feature_slug),
            project=project,
        )
        return experiment_service_pb2.ListExperimentsResponse(
            experiments=map(_message, page.items), next_page_token=page.next_token
        )

    async def get_experiment(
        self, request: experiment_service_pb2.GetExperimentRequest, call: CallContext
    ) -> experiment_service_pb2.GetExperimentResponse:
        project = call.project()
        if not request.experiment_id:
            raise invalid_field(json_path(type(request))("experiment_id"), "is required")
        experiment = (
            await self._store.catalog.experiment(project, request.experiment_id)
            if possible_id(request.experiment_id)
            else None
        )
        if experiment is None:
            raise not_found("experiment", request.experiment_id[:64])
        query = TraceQuery(experiment_id=experiment.id, feature_slug=experiment.feature_slug)
        page = await token_page(
            request,
            lambda limit, after: self._store.list_traces(project, query, limit=limit, after=after),
            lambda trace: (trace.start_ns, trace.trace_id),
            query=list_query("experiment", id=experiment.id),
            project=project,
        )
        results = await self._store.catalog.experiment_results(project, experiment)
        return experiment_service_pb2.GetExperimentResponse(
            experiment=_message(experiment),
            traces=map(listed_trace, page.items),
            next_page_token=page.next_token,
            evaluations=summaries(results),
        )


def summaries(
    results: Iterable[tuple[str, str | None, float | None]],
) -> list[experiment_pb2.EvaluationSummary]:
    """What each evaluator found, by slug, from (evaluator, label, score) of each result."""
    labels: dict[str, Counter[str]] = {}
    scores: dict[str, list[float]] = {}
    counts: Counter[str] = Counter()
    for evaluator, label, score in results:
        counts[evaluator] += 1
        if label is not None:
            labels.setdefault(evaluator, Counter())[label] += 1
        if score is not None:
            scores.setdefault(evaluator, []).append(score)
    return [
        _summary(evaluator, counts[evaluator], labels.get(evaluator, {}), scores.get(evaluator, []))
        for evaluator in sorted(counts)
    ]


def _summary(
    evaluator: str, results: int, labels: dict[str, int], scores: list[float]
) -> experiment_pb2.EvaluationSummary:
    summary = experiment_pb2.EvaluationSummary(
        evaluator=evaluator, results=results, scored=len(scores), labels=labels
    )
    if scores:
        summary.mean, summary.median = fmean(scores), median(scores)
        summary.min, summary.max = min(scores), max(scores)
        bins = Counter(min(max(int(score * _BINS), 0), _BINS - 1) for score in scores)
        summary.histogram.extend(bins[n] for n in range(_BINS))
    return summary


def _message(experiment: Experiment) -> experiment_pb2.Experiment:
    return experiment_pb2.Experiment(
        id=experiment.id,
        name=experiment.name,
        feature_slug=experiment.feature_slug,
        created_at=timestamp_from_ns(experiment.created_ns),
    )
