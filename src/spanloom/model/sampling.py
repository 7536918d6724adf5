"""Which traces are evaluated: the same answer for the same trace, wherever and however often it is
asked."""

from __future__ import annotations

import hashlib

from spanloom.model.span import TraceFacts

DEFAULT_SAMPLE_RATE = 0.1


def is_sampled(trace_id: str, rate: float) -> bool:
    """Whether a trace is evaluated: the same answer for the same id, `rate` of all ids."""
    share = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8]) / 2**64
    return share < rate


def said_sampled(trace_id: str, said: TraceFacts, *, is_root: bool) -> bool | None:
    """What a span that came by OpenTelemetry says of its trace: an experiment is always evaluated,
    else the client's own decision counts, else the rate that the client gave decides, for a root of
    a Basalt trace the default one. None: nothing."""
    if said.experiment_id is not None:
        return True
    if said.sampled is not None:
        return said.sampled
    rate = said.sample_rate
    if rate is None and is_root and (said.evaluators or said.feature_slug is not None):
        rate = DEFAULT_SAMPLE_RATE
    return None if rate is None else is_sampled(trace_id, rate)
