"""Usage in one object, as model APIs and SDKs write it (OpenAI, Anthropic, Langfuse, MLflow).

A cached token is part of the input for some, and beside it for others. Here it is always a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spanloom.genai.reading import count
from spanloom.model import Json

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("input", "input_tokens", "prompt_tokens"),
    "output_tokens": ("output", "output_tokens", "completion_tokens"),
    "cache_read_tokens": (
        *("cache_read_input_tokens", "cache_read_tokens", "cache_read", "cached_tokens"),
        *("cached_input_tokens", "input_cached_tokens", "input_cache_read"),
        *("input_cache_read_tokens", "cached_content_token_count"),
    ),
    "cache_creation_tokens": (
        *("cache_creation_input_tokens", "cache_creation_tokens", "cache_creation"),
        *("cache_write_tokens", "cache_write", "input_cache_creation", "input_cache_write"),
    ),
    "reasoning_tokens": (
        *("reasoning", "reasoning_tokens", "output_reasoning", "output_reasoning_tokens"),
        "thoughts_token_count",
    ),
    "total_tokens": ("total", "total_tokens"),
}
# Parts of the input and of the output, in objects of their own.
_DETAILS: Final = (
    *("prompt_tokens_details", "input_tokens_details", "input_token_details"),
    *("completion_tokens_details", "output_tokens_details", "output_token_details"),
)


def usage_from(given: Mapping[str, Json]) -> dict[str, int]:
    """The tokens of a model's call: `input_tokens`, `output_tokens`, `cache_read_tokens`,
    `cache_creation_tokens`, `reasoning_tokens`, where they are there.

    Cached tokens that stand in details are parts of the input, and so are all where the total says
    so. Others that stand beside the input are added to it.
    """
    found = _counts(given)
    inner: dict[str, int] = {}
    for name in _DETAILS:
        if isinstance(details := given.get(name), dict):
            inner = {**_counts(details), **inner}
    total = found.pop("total_tokens", None)
    beside = found.get("cache_read_tokens", 0) + found.get("cache_creation_tokens", 0)
    if beside and "input_tokens" in found:
        plain = found["input_tokens"] + found.get("output_tokens", 0)
        if total != plain:
            found["input_tokens"] += beside
    parts = ("cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
    return {**{name: inner[name] for name in parts if name in inner}, **found}


def _counts(given: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for field, names in _NAMES.items():
        numbers = (count(given[name]) for name in names if name in given)
        first = next((number for number in numbers if number is not None), None)
        if first is not None:
            found[field] = first
    return found
