"""Which traces are evaluated: the same decision for the same trace in every process, each time."""

from __future__ import annotations

import hashlib

from spanloom.model.span import TraceFacts

DEFAULT_SAMPLE_RATE = 0.1


def is_sampled(trace_id: str, rate: float) -> bool:
    """Whether a trace is evaluated: the same answer for the same id, `rate` of all ids."""
    share = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8]) / 2**64
    return share < rate


def sampling_decision(trace_id: str, facts: TraceFacts, *, is_root: bool) -> bool | None:
    """The sampling decision that an OpenTelemetry span carries, None if it carries none.

    In order: an experiment (always sampled), the client's own `sampled`, its `sample_rate`, and the
    default rate for the root of a Basalt trace.
    """
    if facts.experiment_id is not None:
        return True
    if facts.sampled is not None:
        return facts.sampled
    rate = facts.sample_rate
    if rate is None and is_root and (facts.evaluators or facts.feature_slug is not None):
        rate = DEFAULT_SAMPLE_RATE
    return None if rate is None else is_sampled(trace_id, rate)
