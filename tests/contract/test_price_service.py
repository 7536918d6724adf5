"""PriceService over every transport, and what its prices do to costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.conftest import Project, request_of

MODEL = "house-model-7b"


def call(project: Project, name: str, /, **fields: Any) -> Any:
    method = f"PriceService/{name}"
    return project(method, request_of(method, fields))


def write(project: Project, id: str, **fields: Any) -> Any:
    price = {"priceId": id, "model": MODEL, **fields}
    return call(project, "WritePrice", price=price).price


def cost(project: Project, span_id: str, model: str = MODEL, **call_facts: Any) -> float | None:
    """What a call of a model with a million tokens in and out costs."""
    span = {
        "traceId": "t",
        "spanId": span_id,
        "kind": "SPAN_KIND_MODEL",
        "startTime": "2026-01-02T03:04:05Z",
        "model": {
            "requestModel": model,
            "inputTokens": "1000000",
            "outputTokens": "1000000",
            **call_facts,
        },
    }
    project("SpanService/WriteSpans", request_of("SpanService/WriteSpans", {"spans": [span]}))
    asked = request_of("SpanService/GetSpan", {"traceId": "t", "spanId": span_id})
    found = project("SpanService/GetSpan", asked).span.model
    return found.cost_usd if found.HasField("cost_usd") else None


def test_write_price_makes_calls_cost_what_the_project_pays(project: Project) -> None:
    stored = write(project, "p", inputUsdPerMillion=2, outputUsdPerMillion=3, provider="Own")
    assert (stored.model, stored.provider, stored.output_usd_per_million) == (MODEL, "own", 3)
    assert not stored.HasField("cache_read_usd_per_million")
    assert cost(project, "1") is None  # of another provider
    assert cost(project, "2", model=MODEL.upper(), provider="OWN") == 5
    half = cost(project, "3", provider="own", cacheReadTokens="500000")
    assert half == 5


def test_write_price_replaces_and_the_nearest_price_wins(project: Project) -> None:
    write(project, "all", model="house-*", inputUsdPerMillion=1, outputUsdPerMillion=1)
    write(project, "some", model="house-model*", inputUsdPerMillion=9, outputUsdPerMillion=9)
    write(project, "one", inputUsdPerMillion=9, outputUsdPerMillion=9)
    write(
        *(project, "one"),
        inputUsdPerMillion=2,
        outputUsdPerMillion=4,
        cacheReadUsdPerMillion=0,
        validFromTime="2026-01-01T00:00:00Z",
    )
    write(
        *(project, "later"),
        inputUsdPerMillion=7,
        outputUsdPerMillion=7,
        validFromTime="2026-01-03T00:00:00Z",
    )
    write(project, "known", model="gpt-4o", inputUsdPerMillion=0.5, outputUsdPerMillion=0.5)
    assert cost(project, "1") == 6
    assert cost(project, "2", cacheReadTokens="1000000") == 4
    assert cost(project, "3", model="house-model-8b") == 18
    assert cost(project, "4", model="house-other") == 2
    assert cost(project, "5", model="gpt-4o", provider="openai") == 1
    assert cost(project, "6", costUsd=0.25) == 0.25  # the client knows better


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"priceId": ""}, "price.priceId"),
        ({"model": ""}, "price.model"),
        ({"model": "a*b"}, "price.model"),
        ({"model": "x" * 5000}, "price.model"),
        ({"inputUsdPerMillion": -1}, "price.inputUsdPerMillion"),
        ({"outputUsdPerMillion": "NaN"}, "price.outputUsdPerMillion"),
        ({"cacheReadUsdPerMillion": "Infinity"}, "price.cacheReadUsdPerMillion"),
        ({"cacheCreationUsdPerMillion": -0.5}, "price.cacheCreationUsdPerMillion"),
        ({"validFromTime": "1960-01-01T00:00:00Z"}, "price.validFromTime"),
    ],
)
def test_write_price_names_what_is_wrong(
    project: Project, fields: dict[str, Any], field: str
) -> None:
    if field == "price.priceId":
        project = project.direct()  # a path without its id is another path
    with pytest.raises(CallError) as refused:
        call(project, "WritePrice", price={"priceId": "p", "model": MODEL, **fields})
    # In REST the price is the body, so its fields have no name before them.
    named = [name.removeprefix("price.") for name in refused.value.violations]
    assert named == [field.removeprefix("price.")]


def test_list_prices_pages_by_id(project: Project) -> None:
    for id in ("c", "a", "b"):
        write(project, id)
    page = call(project, "ListPrices", pageSize=2)
    assert [price.price_id for price in page.prices] == ["a", "b"]
    rest = call(project, "ListPrices", pageSize=2, pageToken=page.next_page_token)
    assert [price.price_id for price in rest.prices] == ["c"]
    assert rest.next_page_token == ""
    with pytest.raises(CallError, match="INVALID_PAGE_TOKEN"):
        call(project, "ListPrices", pageToken="x")


def test_delete_price_leaves_the_list_of_prices(project: Project) -> None:
    write(project, "p")
    call(project, "DeletePrice", priceId="p")
    with pytest.raises(CallError, match="PRICE_NOT_FOUND"):
        call(project, "DeletePrice", priceId="p")
    call(project, "DeletePrice", priceId="p", allowMissing=True)
    assert call(project, "ListPrices").prices == []
