"""Compares two experiments case by case."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spanloom.adapters.native.reviews import score_of
from spanloom.adapters.native.write import span_message
from spanloom.codec.timestamps import duration_from_ns
from spanloom.model import EVALUATION, Feedback
from spanloom.model.summaries import TraceRow, whole_root
from spanloom.services.queries.summaries import (
    figures,
    input_of,
    json_bytes,
    json_preview,
    output_of,
    preview,
    shown,
    status,
)
from spanloom.v1 import query_pb2

# The keys of a trace's metadata that may name the row of its dataset.
_ROWS = ("dataset_row_id", "datapoint_id")
_MOST_RESULTS = 100


class CaseKey(NamedTuple):
    """The place of a case in the order of a comparison."""

    without_scores: bool
    change: float
    start_ns: int
    case_id: str


@dataclass(frozen=True, slots=True)
class Case:
    """The traces of one input; at least one is there."""

    key: CaseKey
    run: TraceRow | None
    baseline: TraceRow | None


def compared(runs: Sequence[TraceRow], baselines: Sequence[TraceRow], evaluator: str) -> list[Case]:
    """The cases in their order.

    Args:
        runs, baselines: The traces of the experiments, the latest last.
        evaluator: The slug of the evaluator by whose scores they are ordered, "" for none.
    """
    by_id = {_case_id(row): row for row in runs}
    before = {_case_id(row): row for row in baselines}
    cases = []
    for case_id in by_id.keys() | before.keys():
        run, baseline = by_id.get(case_id), before.get(case_id)
        scores = [_scores(row).get(evaluator) if row else None for row in (run, baseline)]
        without = bool(evaluator) and None in scores
        change = 0.0
        if evaluator and scores[0] is not None and scores[1] is not None:
            change = scores[0] - scores[1]
        row = run or baseline
        start_ns = row.trace.start_ns if row else 0
        cases.append(Case(CaseKey(without, change, start_ns, case_id), run, baseline))
    return sorted(cases, key=lambda case: case.key)


def case_message(case: Case) -> query_pb2.ExperimentCase:
    message = query_pb2.ExperimentCase(case_id=shown(case.key.case_id))
    for name, row in (("run", case.run), ("baseline_run", case.baseline)):
        if row is None:
            continue
        getattr(message, name).CopyFrom(_run(row))
        root = whole_root(row.group)
        if root is not None:
            message.input_preview = message.input_preview or preview(input_of(root))
            expected = message.expected_output_preview or json_preview(root.io.ideal_output)
            message.expected_output_preview = expected
    return message


def _run(row: TraceRow) -> query_pb2.ExperimentCase.Run:
    trace = row.trace
    message = query_pb2.ExperimentCase.Run(
        trace_id=trace.trace_id,
        figures=figures(row.group),
        scores=_scores(row),
        labels=_labels(row),
    )
    root = whole_root(row.group)
    if root is not None:
        message.output_preview = preview(output_of(root))
        if row.has_root:
            message.status.CopyFrom(status(span_message(root, basic=True)))
    if row.has_root and trace.end_ns is not None:
        message.duration.CopyFrom(duration_from_ns(max(0, trace.end_ns - trace.start_ns)))
    return message


def _case_id(row: TraceRow) -> str:
    root = whole_root(row.group)
    if root is None:
        return row.trace.trace_id
    metadata = root.io.metadata or {}
    for name in _ROWS:
        if isinstance(row_id := metadata.get(name), str) and row_id:
            return row_id
    said = root.io.inputs if root.io.inputs is not None else input_of(root)
    return hashlib.sha256(json_bytes(said)).hexdigest()


def _results(row: TraceRow) -> list[Feedback]:
    """The results of evaluators, those on the whole trace last, for they count."""
    found = [item for item in row.group.feedback if item.type == EVALUATION]
    found.sort(key=lambda item: (item.target == "trace", item.created_ns))
    return found[-_MOST_RESULTS:]


def _scores(row: TraceRow) -> dict[str, float]:
    scores = ((shown(item.creator), score_of(item)) for item in _results(row))
    return {slug: score for slug, score in scores if score is not None}


def _labels(row: TraceRow) -> dict[str, str]:
    labels = ((item.creator, item.body.get("payload", {}).get("label")) for item in _results(row))
    return {shown(slug): shown(label) for slug, label in labels if isinstance(label, str)}
