"""Evaluates a function on a dataset that is given in place, reads the run back by every method that
the client has for runs, and prints what they gave."""

from __future__ import annotations

import json
import os
from typing import Any

from honeyhive import HoneyHive, evaluate

url, key = os.environ["HH_API_URL"], os.environ["HH_API_KEY"]


def answer(datapoint: Any) -> Any:
    return {"answer": datapoint["inputs"]["n"] * 2}


def right(outputs: Any, inputs: Any, ground_truth: Any) -> float:
    return 1.0 if outputs["answer"] == ground_truth["answer"] else 0.0


dataset = [{"inputs": {"n": n}, "ground_truth": {"answer": 4}, "id": f"EXT-{n}"} for n in (1, 2)]
result = evaluate(
    function=answer,
    dataset=dataset,
    evaluators=[right],
    api_key=key,
    server_url=url,
    project="ignored",
    name="doubles",
    verbose=False,
)
client = HoneyHive(api_key=key, base_url=url)
runs = client.experiments
run_id = result.run_id
got = {
    "run": runs.get_run(run_id).model_dump(mode="json"),
    "runs": runs.list_runs(name="doubles").model_dump(mode="json"),
    "result": runs.get_result(run_id),
    "compared": runs.compare_runs(run_id, run_id),
    "deleted": None,
}
for name in ("result", "compared"):
    if hasattr(got[name], "model_dump"):
        got[name] = got[name].model_dump(mode="json")
got["deleted"] = runs.delete_run(run_id).model_dump(mode="json")
print(json.dumps(got))
