"""Runs of three invented agents, as spans of the native API in JSON. The same random numbers give
the same runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

Json = dict[str, Any]

_MODELS = {
    "shop-support": ("openai", "gpt-4o-mini"),
    "researcher": ("anthropic", "claude-sonnet-4-5"),
    "code-fixer": ("openai", "gpt-4o"),
}
_VERSIONS = {
    "shop-support": ("1.8", "1.9"),
    "researcher": ("0.4", "0.5"),
    "code-fixer": ("2.1",) * 2,
}
_USERS = (
    ("u-101", "Amara Okafor"), ("u-102", "Li Wei"), ("u-103", "Sofía Reyes"),
    ("u-104", "Jonas Weber"), ("u-105", "فاطمة الزهراء"), ("u-106", "Priya Nair"),
    ("u-107", "Tomáš Novák"), ("u-108", "Yuki Tanaka"),
)  # fmt: skip
SUPPORT_PROMPT = """\
You are the support agent of a shop for outdoor gear.
Look up the order before you answer. Never promise a refund above 200 euros.
Answer in the language of the customer, in at most five sentences."""
_RESEARCH_PROMPT = """\
You research a question on the web. Search, read the most relevant pages, and cite each source.
Hand over to the writer when you have at least two sources."""
_CODE_PROMPT = """\
You fix bugs in a Python repository. Read the failing test first. Make the smallest change that
makes it pass, and run the tests before you finish."""
GOODS = ("hiking boots", "tent", "rain jacket", "backpack", "camping stove", "sleeping bag")


class Run:
    """One trace while it is made. Times are milliseconds since 1970.

    Args:
        is_new: Whether the agent is of its newer version.
        session: The id of the conversation; "" for the trace's own.
    """

    def __init__(
        self, random: Random, agent: str, start_ms: float, *, is_new: bool, session: str = ""
    ) -> None:
        self.random, self.agent, self.now = random, agent, start_ms
        self.trace_id = f"{random.getrandbits(128):032x}"
        provider, model = _MODELS[agent]
        self._provider, self._model = provider, model
        self.version = _VERSIONS[agent][is_new]
        self.user = random.choice(_USERS)
        self.spans: list[Json] = []
        self._session = session
        self.messages: list[Json] = []
        self.root = self._open("", agent, "SPAN_KIND_AGENT")

    def _open(self, parent: str, name: str, kind: str) -> Json:
        span: Json = {
            "traceId": self.trace_id,
            "spanId": f"{self.random.getrandbits(64):016x}",
            "name": name,
            "kind": kind,
            "startTime": _time(self.now),
            "agent": {"name": self.agent, "version": self.version},
            "feature": self.agent,
            "environment": "demo",
            "attributes": {
                "demo": {"boolValue": True},
                "service.region": {"stringValue": self.random.choice(("eu-west", "us-east"))},
            },
        }
        if self._session:
            span["conversationId"] = self._session
        if parent:
            span["parentSpanId"] = parent
        self.spans.append(span)
        return span

    def close(self, span: Json, *, error: str = "", error_type: str = "") -> None:
        span["endTime"] = _time(self.now)
        span["status"] = (
            {"code": "STATUS_CODE_ERROR", "message": error, "errorType": error_type}
            if error
            else {"code": "STATUS_CODE_OK"}
        )

    def step(self, name: str, parent: Json | None = None) -> Json:
        return self._open((parent or self.root)["spanId"], name, "SPAN_KIND_STEP")

    def say(self, text: str) -> None:
        self.messages.append({"role": "user", "parts": [{"text": text}]})

    def call_model(
        self,
        prompt: str,
        answer: str = "",
        *,
        calls: Sequence[tuple[str, Json]] = (),
        tools: Sequence[str] = (),
        reasoning: str = "",
        parent: Json | None = None,
        error: str = "",
    ) -> list[str]:
        """A model call on all messages so far. Returns the ids of the tool calls that it asks
        for."""
        random = self.random
        span = self._open((parent or self.root)["spanId"], f"chat {self._model}", "SPAN_KIND_MODEL")
        known = len(prompt) + sum(len(str(message)) for message in self.messages)
        written = len(answer) + len(reasoning) + 40 * len(calls)
        used = known // 4 + random.randrange(20)
        span["model"] = {
            "provider": self._provider,
            "requestModel": self._model,
            "responseModel": self._model,
            "inputTokens": used,
            "outputTokens": 0 if error else written // 4 + random.randrange(12),
            "cacheReadTokens": used // 2 if len(self.messages) > 2 else 0,
        }
        span["systemInstructions"] = prompt
        span["inputMessages"] = list(self.messages)
        if tools:
            span["toolDefinitions"] = [
                {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
                for name in tools
            ]
        self.now += random.lognormvariate(6.6, 0.5) + written * 6
        if error:
            self.close(span, error=error, error_type="rate_limit")
            return []
        ids = [f"call_{random.getrandbits(48):012x}" for _ in calls]
        parts: list[Json] = [{"reasoning": reasoning}] if reasoning else []
        parts += [{"text": answer}] if answer else []
        parts += [
            {"toolRequest": {"name": name, "callId": call_id, "arguments": arguments}}
            for (name, arguments), call_id in zip(calls, ids, strict=True)
        ]
        message = {
            "role": "assistant",
            "parts": parts,
            "finishReason": "tool_calls" if calls else "stop",
        }
        span["outputMessages"] = [message]
        self.messages.append(message)
        self.close(span)
        return ids

    def use_tool(
        self,
        name: str,
        call_id: str,
        arguments: Json,
        result: Any,
        *,
        ms: float = 120,
        error: str = "",
        parent: Json | None = None,
    ) -> None:
        """The execution of a tool, whose result (or error) is given to the model."""
        span = self._open((parent or self.root)["spanId"], name, "SPAN_KIND_TOOL")
        span["tool"] = {"name": name, "callId": call_id}
        span["input"] = arguments
        self.now += self.random.lognormvariate(0, 0.5) * ms
        if error:
            span["events"] = [
                {
                    "time": _time(self.now),
                    "name": "exception",
                    "attributes": {
                        "exception.type": {"stringValue": "ToolError"},
                        "exception.message": {"stringValue": error},
                        "exception.stacktrace": {
                            "stringValue": f'File "tools.py", line 88, in {name}\n  {error}'
                        },
                    },
                }
            ]
            self.close(span, error=error, error_type="ToolError")
        else:
            span["output"] = result
            self.close(span)
        shown = {"error": error} if error else result
        answer = {"callId": call_id, "name": name, "result": shown}
        self.messages.append({"role": "tool", "parts": [{"toolResponse": answer}]})

    def finish(self, question: str, answer: str, *, error: str = "", **fields: Any) -> None:
        self.now += self.random.uniform(2, 20)
        self.root["input"] = question
        if answer:
            self.root["output"] = answer
        self.root["user"] = {"id": self.user[0], "name": self.user[1]}
        self.root.update(fields)
        self.close(self.root, error=error, error_type="AgentError" if error else "")


def support(
    run: Run, question: str, order: str, goods: str, *, fields: Mapping[str, Any] | None = None
) -> str:
    """Customer support: look up the order, perhaps refund it, answer."""
    random = run.random
    run.say(question)
    tools = ("get_order", "search_orders", "refund_order")
    arguments = {"order_id": order}
    (call,) = run.call_model(SUPPORT_PROMPT, calls=[("get_order", arguments)], tools=tools)
    if random.random() < (0.10 if run.version == "1.9" else 0.24):
        error = f"timeout: the order service did not answer for {order} in 2 s"
        run.use_tool("get_order", call, arguments, None, ms=900, error=error)
        (call,) = run.call_model(SUPPORT_PROMPT, calls=[("get_order", arguments)], tools=tools)
    price = random.randrange(20, 320)
    order_facts = {
        "order_id": order, "item": goods, "price": price, "currency": "EUR",
        "status": random.choice(("shipped", "delivered", "in transit")),
    }  # fmt: skip
    run.use_tool("get_order", call, arguments, order_facts)
    if "refund" in question and price <= 200:
        refund = {"order_id": order, "amount": price}
        (call,) = run.call_model(
            SUPPORT_PROMPT, calls=[("refund_order", refund)], tools=tools,
            reasoning=f"The price is {price} euros, below the limit of 200, so I may refund it.",
        )  # fmt: skip
        run.use_tool("refund_order", call, refund, {"refunded": price, "days": 5}, ms=400)
        answer = f"I have refunded {price} € for your {goods}. It arrives within five days."
    elif "refund" in question:
        answer = f"A refund of {price} € needs a colleague of mine. I have forwarded order {order}."
    else:
        answer = f"Your {goods} (order {order}) is {order_facts['status']}."
    run.call_model(SUPPORT_PROMPT, answer, tools=tools)
    run.finish(question, answer, **(fields or {}))
    return answer


def research(run: Run, topic: str) -> str:
    """Research: searches, pages, a handoff to a writer."""
    random = run.random
    question = f"What is known about {topic}? Compare the two best sources."
    run.say(question)
    tools = ("web_search", "read_page", "hand_over")
    plan = run.step("plan")
    queries = [topic, f"{topic} comparison", f"{topic} criticism"][: random.randrange(1, 4)]
    ids = run.call_model(
        _RESEARCH_PROMPT, calls=[("web_search", {"query": q}) for q in queries], tools=tools,
        reasoning="Several short searches find more than one long one.", parent=plan,
    )  # fmt: skip
    run.close(plan)
    gather = run.step("gather sources")
    for query, call in zip(queries, ids, strict=True):
        hits = [
            {"title": f"{topic}: part {n}", "url": f"https://example.org/{n}"} for n in range(3)
        ]
        run.use_tool("web_search", call, {"query": query}, hits, ms=700, parent=gather)
    for page in range(random.randrange(2, 8)):
        arguments = {"url": f"https://example.org/{page}"}
        (call,) = run.call_model(
            _RESEARCH_PROMPT, calls=[("read_page", arguments)], tools=tools, parent=gather
        )
        text = f"{topic} was studied in {1990 + page}. " * random.randrange(20, 120)
        error = "403 Forbidden: this site refuses robots" if random.random() < 0.12 else ""
        run.use_tool("read_page", call, arguments, text, ms=1200, error=error, parent=gather)
    run.close(gather)
    answer = (
        f"## {topic}\n\nTwo sources agree on the main point and differ in method:\n\n"
        f"1. **Source A** measured it directly.\n2. **Source B** models it.\n\n"
        f"Both are [linked](https://example.org/0)."
    )
    run.call_model(_RESEARCH_PROMPT, answer, tools=tools)
    run.finish(question, answer)
    return answer


def fix_code(run: Run, bug: str) -> str:
    """A coding agent: reads, edits, runs tests until they pass, or gives up."""
    random = run.random
    question = f"The test {bug} fails. Fix it."
    run.say(question)
    tools = ("read_file", "edit_file", "run_tests")
    path = {"path": f"tests/{bug}.py"}
    (call,) = run.call_model(_CODE_PROMPT, calls=[("read_file", path)], tools=tools)
    run.use_tool("read_file", call, path, f"def {bug}():\n    assert parse('1,5') == 1.5\n", ms=15)
    for attempt in range(random.randrange(1, 5)):
        step = run.step(f"attempt {attempt + 1}")
        if random.random() < 0.08:
            run.call_model(_CODE_PROMPT, error="429: too many tokens in this minute", parent=step)
        edit = {
            "path": "src/parse.py",
            "old": "float(text)",
            "new": 'float(text.replace(",", "."))',
        }
        (call,) = run.call_model(
            _CODE_PROMPT, calls=[("edit_file", edit)], tools=tools, parent=step,
            reasoning="The comma is the decimal separator in this locale.",
        )  # fmt: skip
        run.use_tool("edit_file", call, edit, {"changed_lines": 1}, ms=20, parent=step)
        (call,) = run.call_model(_CODE_PROMPT, calls=[("run_tests", {})], tools=tools, parent=step)
        is_last = attempt > 0 or random.random() < 0.6
        failed = "" if is_last else "1 failed, 41 passed: ValueError: could not convert '1,5'"
        run.use_tool(
            "run_tests", call, {}, "42 passed in 3.1 s", ms=3500, error=failed, parent=step
        )
        run.close(step)
        if is_last:
            answer = "The parser now accepts a decimal comma. All 42 tests pass."
            run.call_model(_CODE_PROMPT, answer, tools=tools)
            run.finish(question, answer)
            return answer
    run.finish(question, "", error="gave up after the last attempt: the tests still fail")
    return ""


def _time(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="microseconds")
