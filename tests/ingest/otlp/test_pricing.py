"""Costs by the price list: the package's own arithmetic, done quicker."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from spanloom.genai.pricing import cost_of
from tests.ingest.otlp.requests import read_one

AT_NS = 1_763_629_200_000_000_000
AT = datetime.fromtimestamp(AT_NS / 1e9, UTC)
MODELS = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if isinstance(price := model.get_prices(AT), ModelPrice)
    and price.input_mtok is not None
    and provider.find_model(model.id) is model
]


@pytest.mark.parametrize("usage", [(1_000, 50, 0, 0), (300_000, 5_000, 120_000, 40_000)])
def test_the_cost_is_that_of_the_package_for_every_model(usage: tuple[int, int, int, int]) -> None:
    tokens, output, read, written = usage
    assert len(MODELS) > 200
    for provider, model in MODELS[:: 1 + len(MODELS) // 200]:
        fields: dict[str, Any] = {"input_tokens": tokens, "output_tokens": output}
        if read:
            fields |= {"cache_read_tokens": read, "cache_write_tokens": written}
        theirs = calc_price(
            Usage(**fields), model, provider_id=provider, genai_request_timestamp=AT
        )
        ours = cost_of(
            provider,
            model,
            at_ns=AT_NS,
            input_tokens=tokens,
            output_tokens=output,
            cache_read=read,
            cache_written=written,
        )
        assert ours is not None, (provider, model)
        assert ours.total == pytest.approx(float(theirs.total_price), abs=1e-9), (provider, model)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("openai.chat", "gpt-4o"),
        ("azure.ai.openai", "gpt-4o"),
        ("gcp.vertex_ai", "gemini-2.0-flash"),
        ("langchain", "claude-sonnet-4-5"),
        ("", "openai/gpt-4o"),
    ],
)
def test_providers_by_the_names_that_sdks_give_them(provider: str, model: str) -> None:
    cost = cost_of(provider, model, at_ns=AT_NS, input_tokens=1000)
    assert cost is not None
    assert cost.total > 0


def test_an_unknown_model_costs_nothing_that_is_known() -> None:
    assert cost_of("acme", "no-such-model", at_ns=AT_NS, input_tokens=1) is None


def test_the_price_list_is_read_when_first_needed() -> None:
    script = "import sys, spanloom.adapters.otlp.read; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_server_reads_the_price_list_before_it_serves() -> None:
    script = """
import sys
from spanloom import serving
from spanloom.config import Settings

serving.check = lambda settings: sys.exit('genai_prices.data' not in sys.modules)
serving.serve(Settings(), print)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    "word", ["chat.completions", "responses", "generate", "completion", "message", "Messages"]
)
def test_other_words_of_a_model_call_are_priced_too(word: str) -> None:
    told = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    span, chat = (read_one({**told, "gen_ai.operation.name": w}) for w in (word, "chat"))
    assert (span.kind, span.cost) == ("model", chat.cost)
    assert span.cost
    assert span.operation == word.lower()
