"""ExperimentService: what proto/spanloom/v1/experiment_service.proto promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import fmean, median

from spanloom.adapters.basalt.write import listed_trace
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import not_found
from spanloom.model import Experiment, TraceQuery, dashed, uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.services.context import CallContext
from spanloom.services.page_token import list_query, page_token, position_of
from spanloom.services.paging import page_size
from spanloom.services.projects import Projects
from spanloom.store.store import Store
from spanloom.v1 import experiment_pb2, experiment_service_pb2

DEFAULT_PAGE_SIZE = 50
MOST_PAGE_SIZE = 1000
_BINS = 10


class ExperimentService:
    """Experiments in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projects = Projects(store)

    async def create_experiment(
        self, request: experiment_service_pb2.CreateExperimentRequest, call: CallContext
    ) -> experiment_service_pb2.CreateExperimentResponse:
        project = call.project()
        bad = Violations()
        bad.check_id("featureSlug", request.feature_slug)
        if not request.name:
            bad.add("name", "is required")
        bad.check_text("name", request.name)
        bad.refuse()
        experiment = Experiment(
            id=dashed(uuid7()),
            name=request.name,
            feature_slug=request.feature_slug,
            created_ns=call.received_ns,
        )
        await self._projects.ensure(project)
        await self._store.catalog.create_experiment(project, experiment)
        return experiment_service_pb2.CreateExperimentResponse(
            id=experiment.id,
            name=experiment.name,
            feature_slug=experiment.feature_slug,
            created_at=timestamp_from_ns(experiment.created_ns),
        )

    async def list_experiments(
        self, request: experiment_service_pb2.ListExperimentsRequest, call: CallContext
    ) -> experiment_service_pb2.ListExperimentsResponse:
        project = call.project()
        bad = Violations()
        bad.check_text("featureSlug", request.feature_slug)
        bad.refuse()
        size = _size(request.page_size)
        this_list = list_query("experiments", feature_slug=request.feature_slug)
        found = await self._store.catalog.list_experiments(
            project,
            feature_slug=request.feature_slug,
            limit=size + 1,
            after=position_of(request.page_token, this_list, project)
            if request.page_token
            else None,
        )
        last = found[size - 1] if len(found) > size else None
        return experiment_service_pb2.ListExperimentsResponse(
            experiments=[_message(experiment) for experiment in found[:size]],
            next_page_token=page_token(this_list, project, (last.created_ns, last.id))
            if last
            else "",
        )

    async def get_experiment(
        self, request: experiment_service_pb2.GetExperimentRequest, call: CallContext
    ) -> experiment_service_pb2.GetExperimentResponse:
        project = call.project()
        bad = Violations()
        if not request.experiment_id:
            bad.add("experimentId", "is required")
        bad.refuse()
        experiment = (
            await self._store.catalog.experiment(project, request.experiment_id)
            if possible_id(request.experiment_id)
            else None
        )
        if experiment is None:
            raise not_found("experiment", request.experiment_id[:64])
        size = _size(request.page_size)
        this_list = list_query("experiment", id=experiment.id)
        query = TraceQuery(experiment_id=experiment.id, feature_slug=experiment.feature_slug)
        traces = await self._store.list_traces(
            project,
            query,
            limit=size + 1,
            after=position_of(request.page_token, this_list, project)
            if request.page_token
            else None,
        )
        last = traces[size - 1] if len(traces) > size else None
        results = await self._store.catalog.experiment_results(project, experiment)
        return experiment_service_pb2.GetExperimentResponse(
            experiment=_message(experiment),
            traces=[listed_trace(trace) for trace in traces[:size]],
            next_page_token=page_token(this_list, project, (last.start_ns, last.trace_id))
            if last
            else "",
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


def _size(asked: int) -> int:
    return page_size("pageSize", asked, default=DEFAULT_PAGE_SIZE, most=MOST_PAGE_SIZE)
