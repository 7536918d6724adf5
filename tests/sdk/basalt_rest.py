"""Run by the old client's own Python: basalt-sdk 0.5.2 against the server in BASALT_URL; prints
what its calls gave as JSON.

It imports nothing of Spanloom: this is a client's program, its address and key apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from basalt.config import config

config["api_url"] = os.environ["BASALT_URL"]

from basalt import Basalt  # noqa: E402 - the address is read when the client is made

basalt = Basalt(api_key=os.environ["BASALT_KEY"], log_level="none")
said: dict[str, object] = {}

error, experiment = basalt.monitor.create_experiment_sync("qa-chatbot", {"name": "exp A"})
assert error is None, error
said["experiment"] = {
    "id": experiment.id,
    "name": experiment.name,
    "slug": experiment.feature_slug,
}

trace = basalt.monitor.create_trace(
    "qa-chatbot",
    {
        "name": "full trace",
        "experiment": experiment,
        "evaluators": [{"slug": "same"}, {"slug": "unknown"}],
        "evaluation_config": {"sample_rate": 0.5},
        "user": {"id": "u1", "name": "Ann"},
        "organization": {"id": "o1", "name": "ACME"},
        "metadata": {"k": 1},
        "ideal_output": "Paris",
    },
)
trace.start("What is the capital of France?")
outer = trace.create_log({"type": "span", "name": "outer", "metadata": {"m": True}})
outer.start("x")
search = outer.create_log({"type": "retrieval", "name": "search"})
search.start({"q": "France"})
search.end([{"doc": 1}])
tool = outer.create_log({"type": "tool", "name": "lookup"})
tool.start({"city": "Paris"})
tool.end({"a": 1})
generation = outer.create_generation(
    {
        "name": "gen",
        "prompt": {"slug": "qa-prompt", "version": "1.2.0"},
        "input": "Q2",
        "variables": {"name": "Ann", "n": 3},
        "ideal_output": "Paris",
    }
)
generation.start()
generation.end("Paris", 10, 2, 0.001)
outer.end("ok")
trace.end_sync("Paris")

failed = basalt.monitor.create_trace("qa-chatbot", {"name": "failed"})
failed.start("q")
failed.set_metadata({"error": {"message": "boom"}, "status": "error"})
failed.end_sync()

minimal = basalt.monitor.create_trace("minimal")
asyncio.run(minimal.end("o"))

error, prompt, generation = basalt.prompt.get_sync(
    slug="qa-prompt", tag="production", variables={"name": "Ann"}
)
assert error is None, error
said["prompt"] = {
    "text": prompt.text,
    "version": prompt.version,
    "model": prompt.model.model,
    "temperature": prompt.model.parameters.temperature,
}
generation.end("out", 5, 1, 0.0002)

error, described = basalt.prompt.describe_sync("qa-prompt")
assert error is None, error
said["variables"] = [variable["label"] for variable in described.variables]
error, prompts = basalt.prompt.list_sync()
assert error is None, error
said["prompts"] = [[p.slug, p.status] for p in prompts]
error, tag = basalt.prompt.publish_sync(slug="qa-prompt", new_tag="staging", version="1.2.0")
assert error is None, error
said["tag"] = tag.label
error, nothing, _ = basalt.prompt.get_sync(slug="none")
said["not found"] = [type(error).__name__, nothing]
json.dump(said, sys.stdout)
