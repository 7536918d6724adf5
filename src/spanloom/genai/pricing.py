"""What a call of a model costs, by own prices (`own_prices`), else by the price list of the
genai-prices package.

The list is loaded by `load` or by the first call that needs it, never at import, and never from the
network. The package's own arithmetic is exact but slow (a third of a millisecond a call), so only
the price of a model is taken from it, and the cost is computed here: tokens read from a cache or
written to one have their own prices if the model has such prices, all other input tokens have the
input's price.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spanloom.genai.own_prices import own_price
from spanloom.model.prices import Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_MTOK: Final = 1_000_000
_MOST_MODELS: Final = 4_096
# Decimals kept of a dollar: a millionth of what one token of the cheapest model costs.
_DIGITS: Final = 12
# Names that the GenAI conventions and SDKs give to providers, and the package's names for them.
_PROVIDERS: Final = {
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex.agent": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "gemini": "google",
    "aws.bedrock": "aws",
    "amazon-bedrock": "aws",
    "az.ai.openai": "azure",
    "azure.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure.ai.inference": "azure",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
# By provider and model: what has one price at all times has its rates here.
_models: dict[tuple[str, str], ModelInfo | _Rates | None] = {}
_rates: dict[int, _Rates] = {}


class Cost(NamedTuple):
    """Its parts, in millionths of US dollars."""

    entered: float
    left: float

    @property
    def input(self) -> float:
        """US dollars."""
        return round(self.entered / _MTOK, _DIGITS)

    @property
    def output(self) -> float:
        """US dollars."""
        return round(self.left / _MTOK, _DIGITS)

    @property
    def total(self) -> float:
        """US dollars."""
        return round((self.entered + self.left) / _MTOK, _DIGITS)


def load() -> None:
    """Load the price list now. The first call that needs it would wait for a tenth of a second, and
    so would all other calls of its process."""
    from genai_prices.data_snapshot import get_snapshot

    get_snapshot()


def cost_of(
    provider: str,
    model: str,
    *,
    at_ns: int,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cache_read: int = 0,
    cache_written: int = 0,
) -> Cost | None:
    """What the call cost at the prices of its time; None when the model has no price.

    `cache_read` and `cache_written` are parts of `input_tokens`, unless they are more: then the
    provider counts them beside its input.
    """
    if cache_read + cache_written > input_tokens:
        input_tokens += cache_read + cache_written
    if own := own_price(provider, model, at_ns):
        return _Rates.of(own).cost(input_tokens, output_tokens, cache_read, cache_written)
    key = (provider, model)
    if key not in _models:
        if len(_models) >= _MOST_MODELS:
            _models.clear()
        found = _found(provider, model)
        _models[key] = (
            found
            if found is None or isinstance(found.prices, list)
            else _Rates.on_the_list(found.prices)
        )
    info = _models[key]
    if info is None:
        return None
    rates = info if isinstance(info, _Rates) else _rates_at(info, at_ns)
    return rates.cost(input_tokens, output_tokens, cache_read, cache_written)


def _rates_at(info: ModelInfo, at_ns: int) -> _Rates:
    """Those of a model whose prices change with the time."""
    price = info.get_prices(datetime.fromtimestamp(at_ns / 1e9, UTC))
    rates = _rates.get(id(price))
    if rates is None:
        rates = _rates[id(price)] = _Rates.on_the_list(price)
    return rates


def _found(provider: str, model: str) -> ModelInfo | None:
    """The model on the list: of the provider, else of the one that the model's name implies."""
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    providers = get_snapshot().providers
    name = model.lower()
    known = _PROVIDERS.get(provider) or _PROVIDERS.get(provider.partition(".")[0])
    for word in filter(None, (known, provider, provider.partition(".")[0])):
        found = find_provider_by_id(providers, word)
        if found and (info := found.find_model(name, all_providers=providers)):
            return info
    for ref in dict.fromkeys((name, name.rpartition("/")[2])):
        for candidate in providers:
            if candidate.model_match is not None and candidate.model_match.is_match(ref):
                if info := candidate.find_model(ref, all_providers=providers):
                    return info
                break
    return None


class _Rates:
    """A model's prices as floats, in US dollars per million tokens.

    Each is (base, ((above this many input tokens, price), ...)).
    """

    __slots__ = ("cache_read", "cache_written", "input", "output", "price")

    def __init__(
        self,
        price: object,
        input: _Tiers,
        output: _Tiers,
        cache_read: _Tiers | None,
        cache_written: _Tiers | None,
    ) -> None:
        self.price = price  # kept, so that its id() stays its own
        self.input, self.output = input, output
        self.cache_read = cache_read or input
        self.cache_written = cache_written or input

    @classmethod
    def on_the_list(cls, price: ModelPrice) -> _Rates:
        return cls(
            price,
            _tiers(price.input_mtok) or (0.0, ()),
            _tiers(price.output_mtok) or (0.0, ()),
            _tiers(price.cache_read_mtok),
            _tiers(price.cache_write_mtok),
        )

    @classmethod
    def of(cls, price: Price) -> _Rates:
        read, written = price.cache_read, price.cache_written
        return cls(
            price,
            (price.input, ()),
            (price.output, ()),
            None if read is None else (read, ()),
            None if written is None else (written, ()),
        )

    def cost(
        self, input_tokens: int, output_tokens: int, cache_read: int, cache_written: int
    ) -> Cost:
        plain = max(0, input_tokens - cache_read - cache_written)
        entered = _rate(self.input, input_tokens) * plain
        if cache_read:
            entered += _rate(self.cache_read, input_tokens) * cache_read
        if cache_written:
            entered += _rate(self.cache_written, input_tokens) * cache_written
        left = _rate(self.output, input_tokens) * output_tokens
        return Cost(entered, left)


_Tiers = tuple[float, tuple[tuple[int, float], ...]]


def _tiers(price: Any) -> _Tiers | None:
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return float(price), ()
    return float(price.base), tuple((tier.start, float(tier.price)) for tier in reversed(tiers))


def _rate(tiers: _Tiers, input_tokens: int) -> float:
    base, steps = tiers
    return next((price for start, price in steps if input_tokens > start), base) if steps else base
