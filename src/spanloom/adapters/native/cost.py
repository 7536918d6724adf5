"""What a call of a model cost."""

from __future__ import annotations

from typing import Any, Final

from spanloom.genai.pricing import cost_of
from spanloom.v1 import span_pb2 as pb

COSTS: Final = ("cost_usd", "input_cost_usd", "output_cost_usd")


class Cost:
    """What a call cost in US dollars; `source` as of `Usage`."""

    __slots__ = ("input", "output", "source", "total")

    def __init__(self, total: float | None, input: float | None, output: float | None) -> None:
        self.total, self.input, self.output = total, input, output
        self.source: Any = "" if total is None else "given"


def cost_of_call(model: pb.ModelCall, kind: str, start_ns: int) -> Cost:
    """As given, else by the price list for a model's call."""
    total, entered, left = (
        getattr(model, name) if model.HasField(name) else None for name in COSTS
    )
    if total is None and entered is not None and left is not None:
        total = entered + left
    given = Cost(total, entered, left)
    has_tokens = model.HasField("input_tokens") or model.HasField("output_tokens")
    if total is not None or kind != "model" or not has_tokens:
        return given
    for name in filter(None, (model.response_model, model.request_model)):
        found = cost_of(
            model.provider.lower(),
            name,
            at_ns=start_ns,
            input_tokens=model.input_tokens,
            output_tokens=model.output_tokens,
            cache_read=model.cache_read_tokens,
            cache_written=model.cache_creation_tokens,
        )
        if found:
            computed = Cost(found.total, found.input, found.output)
            computed.source = "computed"
            return computed
    return given
