"""Own prices: which one wins, and the operator's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spanloom.errors import SetupError
from spanloom.genai import own_prices
from spanloom.genai.own_prices import EVERY_PROJECT, own_price, set_prices
from spanloom.genai.pricing import cost_of
from spanloom.model.prices import READ_FOR, Price
from spanloom.services.price_file import read_prices

NOW = 1_800_000_000 * 10**9


@pytest.fixture(autouse=True)
def no_prices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(own_prices, "_prices", {})
    token = READ_FOR.set("app")
    yield
    READ_FOR.reset(token)


def chosen(provider: str, model: str, at_ns: int = NOW) -> str:
    price = own_price(provider, model, at_ns)
    return price.id if price else ""


def test_the_nearest_price_wins() -> None:
    set_prices(
        "app",
        [
            Price("any", "*"),
            Price("long", "m-1*"),
            Price("whole", "m-1"),
            Price("whole of p", "m-1", "p"),
            Price("later", "m-1", "", NOW + 1),
        ],
    )
    set_prices(EVERY_PROJECT, [Price("operator", "x")])
    set_prices("other", [Price("of another", "m-1")])
    assert chosen("p", "M-1") == "whole of p"
    assert chosen("q", "m-1") == "whole"
    assert chosen("q", "m-1", NOW + 1) == "later"
    assert chosen("q", "m-12") == "long"
    assert chosen("q", "x") == "any"
    set_prices("app", [])
    assert chosen("q", "x") == "operator"
    assert chosen("q", "m-1") == ""


def test_a_file_has_prices_for_all_projects(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[price]]\nmodel = "Own-*"\ninput = 1\noutput = 2.5\ncache_read = 0.5\n'
        '[[price]]\nmodel = "gpt-4o"\nprovider = "azure"\nvalid_from = 2026-01-01\n'
        '[[price]]\nmodel = "late"\nvalid_from = 2030-01-01T00:00:00+01:00\n'
    )
    prices = read_prices(str(file))
    assert [price.valid_from_ns // 10**9 for price in prices] == [0, 1767225600, 1893452400]
    set_prices(EVERY_PROJECT, prices)
    cost = cost_of(
        *("", "own-7b"), at_ns=NOW, input_tokens=10**6, output_tokens=10**6, cache_read=10**6
    )
    assert cost is not None
    assert (cost.input, cost.output, cost.total) == (0.5, 2.5, 3.0)
    free = cost_of("azure", "gpt-4o", at_ns=NOW, input_tokens=5)
    assert free is not None
    assert free.total == 0
    assert read_prices("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[price]", "cannot be read"),
        ("price = 1", "must be tables"),
        ("[other]", "must be tables"),
        ("[[price]]\ninput = 1", "price 1 .*: model"),
        ('[[price]]\nmodel = "a*b"', "model"),
        ('[[price]]\nmodel = "a"\n[[price]]\nmodel = "b"\ninputs = 1', "price 2 .*: inputs"),
        ('[[price]]\nmodel = "a"\ninput = "1"', "input must be"),
        ('[[price]]\nmodel = "a"\noutput = -1', "output must be"),
        ('[[price]]\nmodel = "a"\ncache_write = nan', "cache_write must be"),
        ('[[price]]\nmodel = "a"\nprovider = 1', "provider"),
        ('[[price]]\nmodel = "a"\nvalid_from = 2026-01-01T00:00:00', "valid_from"),
        ('[[price]]\nmodel = "a"\nvalid_from = 1', "valid_from"),
    ],
)
def test_a_wrong_file_is_refused_by_its_price(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(SetupError, match=said):
        read_prices(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_prices(str(tmp_path / "none.toml"))
