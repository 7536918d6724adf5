"""A project full of examples: a week of three agents, with feedback, prompts, a dataset and two
experiments. All of it is invented, and marked by the environment `demo`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

from spanloom.app import methods
from spanloom.codec import json_codec
from spanloom.errors import SpanloomError
from spanloom.model import uuid7
from spanloom.operations.demo_agents import GOODS, SUPPORT_PROMPT, Run, fix_code, research, support
from spanloom.services.context import CallContext
from spanloom.store.store import Store

DAYS = 7
_SEED = 20_260_101
_DAY_MS = 86_400_000
_BATCH_SPANS = 500
_TOPICS = (
    "sleep and memory", "heat pumps in old houses", "the price of lithium", "urban trees",
    "sourdough fermentation", "solid-state batteries", "the Antikythera mechanism",
)  # fmt: skip
_BUGS = ("test_decimal_comma", "test_leap_day", "test_empty_header", "test_unicode_name")
_QUESTIONS = (
    "Where is my order {order}?", "I want a refund for order {order}.",
    "¿Cuándo llega mi pedido {order}?", "Meine Bestellung {order} ist beschädigt, refund please.",
)  # fmt: skip
_NOTES = ("The answer is right, but too long.", "Should have asked for the order number.")


async def fill(store: Store, project: str, *, traces_per_day: int = 60) -> AsyncIterator[int]:
    """Write the week that ends now; yields the number of traces after each batch.

    The runs are the same each time, but for their times; a second call replaces what the first one
    wrote.
    """
    calls = _Calls(store, project)
    random = Random(_SEED)  # noqa: S311 - examples, not secrets
    end_ms = time.time() * 1000
    await _library(calls)
    batch: list[dict[str, Any]] = []
    reviews: list[dict[str, Any]] = []
    number = 0
    for run in _week(random, end_ms, traces_per_day):
        batch += run.spans
        number += 1
        reviews += _reviews(random, run, number)
        if len(batch) >= _BATCH_SPANS:
            await calls.ask("SpanService/WriteSpans", {"spans": batch})
            batch = []
            yield number
    async for run in _experiments(random, calls, end_ms):
        batch += run.spans
        number += 1
    await calls.ask("SpanService/WriteSpans", {"spans": batch})
    for review in reviews:
        await calls.ask("ReviewService/WriteReview", {"review": review})
    yield number


class _Calls:
    """The methods of the API, in this process."""

    def __init__(self, store: Store, project: str) -> None:
        self._methods = {method.full_name: method for method in methods(store)}
        self._project = project

    async def ask(self, name: str, request: dict[str, Any]) -> Any:
        method = self._methods[f"spanloom.v1.{name}"]
        call = CallContext(
            request_id=uuid7(),
            key_project=self._project,
            role="admin",
            received_ns=time.time_ns(),
        )
        return await method.answer(json_codec.parse(request, method.request_class).message, call)


def _week(random: Random, end_ms: float, traces_per_day: int) -> Iterator[Run]:
    for day in range(DAYS):
        for at in range(traces_per_day):
            # The last traces end just before now; busier in the middle of each day.
            share = (at + random.random()) / traces_per_day
            start = end_ms - _DAY_MS * (DAYS - day) + _DAY_MS * share * 0.995
            which = random.random()
            is_new = day > DAYS // 2
            if which < 0.6:
                yield from _support_session(random, start, is_new)
            elif which < 0.85:
                run = Run(random, "researcher", start, is_new=is_new)
                research(run, random.choice(_TOPICS))
                yield run
            else:
                run = Run(random, "code-fixer", start, is_new=is_new)
                fix_code(run, random.choice(_BUGS))
                yield run


def _support_session(random: Random, start_ms: float, is_new: bool) -> Iterator[Run]:
    """A customer asks up to three times; each turn knows the messages before it."""
    session = f"chat-{random.getrandbits(40):010x}"
    first: Run | None = None
    messages: list[dict[str, Any]] = []
    for _ in range(random.choice((1, 1, 2, 3))):
        run = Run(random, "shop-support", start_ms, is_new=is_new, session=session)
        first = first or run
        run.user, run.messages = first.user, list(messages)
        order = f"A{random.randrange(10_000, 99_999)}"
        question = random.choice(_QUESTIONS).format(order=order)
        support(run, question, order, random.choice(GOODS))
        messages = run.messages
        start_ms = run.now + random.uniform(10_000, 90_000)
        yield run


def _reviews(random: Random, run: Run, number: int) -> Iterator[dict[str, Any]]:
    if random.random() > 0.15:
        return
    target = {"traceId": run.trace_id}
    is_good = random.random() < 0.7
    author = random.choice(("maria", "sam"))
    yield {
        "reviewId": f"demo-thumb-{number}",
        "target": target,
        "name": "thumb",
        "score": float(is_good),
        "author": author,
    }
    if not is_good:
        yield {
            "reviewId": f"demo-note-{number}",
            "target": target,
            "name": "note",
            "comment": random.choice(_NOTES),
            "author": author,
        }


async def _library(calls: _Calls) -> None:
    """Prompts, a dataset and evaluators; those that a call before stored are kept."""
    texts = (
        "You are a support agent.",
        "You are the support agent of a shop for outdoor gear.\nLook up the order first.",
        SUPPORT_PROMPT,
    )
    for at, text in enumerate(texts, 1):
        await _unless_there(
            calls,
            "PromptService/CreatePrompt",
            {
                "slug": "demo-support",
                "name": "Support agent (demo)",
                "version": f"1.{at}.0",
                "text": "{{question}}",
                "systemText": text,
                "featureSlug": "shop-support",
                "tags": ["production"] if at == len(texts) else [],
            },
        )
    dataset = {
        "slug": "demo-questions",
        "name": "Questions to the support agent (demo)",
        "columns": ["question", "answer"],
    }
    await _unless_there(calls, "DatasetService/CreateDataset", dataset)
    found = await calls.ask("DatasetService/GetDataset", {"slug": dataset["slug"]})
    known = {row.values["question"] for row in found.dataset.rows}
    for question, answer in _cases():
        if question not in known:
            await calls.ask(
                "DatasetService/CreateDatasetItem",
                {"slug": dataset["slug"], "values": {"question": question, "answer": answer}},
            )
    for evaluator in (
        {"slug": "demo-similar", "kind": "edit_similarity", "settings": {"ignore_case": True}},
        {"slug": "demo-short", "kind": "length", "settings": {"max": 120}},
    ):
        await _unless_there(calls, "EvaluatorService/CreateEvaluator", {"evaluator": evaluator})


async def _unless_there(calls: _Calls, name: str, request: dict[str, Any]) -> None:
    try:
        await calls.ask(name, request)
    except SpanloomError as error:
        if error.code != "ALREADY_EXISTS":
            raise


def _cases() -> list[tuple[str, str]]:
    return [
        (f"Where is my order A{70_000 + at}, the {goods}?", f"Your {goods} is shipped.")
        for at, goods in enumerate(GOODS)
    ]


async def _experiments(random: Random, calls: _Calls, end_ms: float) -> AsyncIterator[Run]:
    """Two runs of the dataset, the later one with the newer agent."""
    found = await calls.ask("ExperimentService/ListExperiments", {"featureSlug": "shop-support"})
    known = {experiment.name: experiment.id for experiment in found.experiments}
    for at, name in enumerate(("prompt 1.2 (demo)", "prompt 1.3 (demo)")):
        if name not in known:
            made = await calls.ask(
                "ExperimentService/CreateExperiment",
                {"featureSlug": "shop-support", "name": name},
            )
            known[name] = made.id
        for case, (question, ideal) in enumerate(_cases()):
            start = end_ms - (2 - at) * 3_600_000 + case * 20_000
            run = Run(random, "shop-support", start, is_new=at == 1)
            fields = {
                "experimentId": known[name],
                "expectedOutput": ideal,
                "evaluation": {"evaluators": ["demo-similar", "demo-short"], "sampleRate": 1},
            }
            support(run, question, f"A{70_000 + case}", GOODS[case], fields=fields)
            yield run
