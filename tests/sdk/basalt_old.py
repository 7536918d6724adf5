"""Run by an older client's own Python: basalt-sdk 0.1 to 0.4 against BASALT_URL; prints what its
calls gave as JSON.

Their methods are synchronous, or have a synchronous twin; what a version does not have it does not
call.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from typing import Any

from basalt.config import config

config["api_url"] = os.environ["BASALT_URL"]

from basalt import Basalt  # noqa: E402 - the address is read when the client is made

basalt = Basalt(api_key=os.environ["BASALT_KEY"], log_level="none")


def call(owner: Any, name: str, /, *arguments: Any, **named: Any) -> Any:
    """The result of the synchronous method, which is (error, value, ...) for all that asks the
    server."""
    answer = getattr(owner, f"{name}_sync", getattr(owner, name))(*arguments, **named)
    if inspect.iscoroutine(answer):
        answer = asyncio.run(answer)
    if isinstance(answer, tuple):
        assert answer[0] is None, answer
        return answer[1]
    return answer


prompt = call(basalt.prompt, "get", "qa-prompt", tag="production", variables={"name": "Ann"})
described = call(basalt.prompt, "describe", "qa-prompt")
said: dict[str, Any] = {
    "prompt": [prompt.text, prompt.model.model],
    "variables": [variable["label"] for variable in described.variables],
    "prompts": [[p.slug, p.status] for p in call(basalt.prompt, "list")],
}
more: dict[str, Any] = {}
if hasattr(basalt.monitor, "create_experiment"):
    experiment = call(basalt.monitor, "create_experiment", "qa-chatbot", {"name": "exp"})
    said["experiment"] = experiment.id
    more = {"experiment": experiment, "evaluators": [{"slug": "same"}]}
trace = basalt.monitor.create_trace(
    "qa-chatbot", {"user": {"id": "u1", "name": "Ann"}, "metadata": {"k": [1, None]}, **more}
)
trace.start("What is the capital of France?")
outer = trace.create_log({"type": "span", "name": "outer", "metadata": {"m": True}})
outer.start("x")
tool = outer.create_log({"type": "tool", "name": "lookup"})
tool.start("Paris")
tool.end("found")
generation = outer.create_generation(
    {"name": "gen", "prompt": {"slug": "qa-prompt", "version": "1.2.0"}, "variables": {"n": "3"}}
)
generation.start("Q")
generation.end("Paris")
outer.end("ok")
call(trace, "end", "Paris")
if hasattr(basalt, "datasets"):
    add = "addRow" if hasattr(basalt.datasets, "addRow") else "add_row"
    row = {"values": {"q": "a"}, "name": "row", "ideal_output": "yes", "metadata": {"s": 1}}
    call(basalt.datasets, add, slug="qa-set", **row)
    found = call(basalt.datasets, "get", "qa-set")
    said["datasets"] = [[d.slug, d.columns] for d in call(basalt.datasets, "list")]
    said["rows"] = [[r.values, r.name, r.idealOutput, r.metadata] for r in found.rows]
json.dump(said, sys.stdout)
