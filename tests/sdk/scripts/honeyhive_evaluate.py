"""Evaluates a function on a dataset that is given in place, and on one that the server has, reads
the run back by every method that the client has for runs, and prints what they gave."""

from __future__ import annotations

import json
import os
from typing import Any

from honeyhive import HoneyHive, evaluate
from honeyhive.models import AddDatapointsToDatasetRequest, CreateDatasetRequest

url, key = os.environ["HH_API_URL"], os.environ["HH_API_KEY"]


def answer(datapoint: Any) -> Any:
    return {"answer": datapoint["inputs"]["n"] * 2}


def right(outputs: Any, inputs: Any, ground_truth: Any) -> float:
    return 1.0 if outputs["answer"] == ground_truth["answer"] else 0.0


def stored_dataset(client: HoneyHive) -> str:
    """The id of a dataset on the server."""
    created = client.datasets.create(CreateDatasetRequest(name="numbers"))
    dataset_id: str = created.result.insertedId
    rows = AddDatapointsToDatasetRequest(
        data=[{"n": n, "answer": 4} for n in (1, 2)],
        mapping={"inputs": ["n"], "ground_truth": ["answer"]},
    )
    client.datasets.add_datapoints(dataset_id, rows)
    return dataset_id


dataset = [{"inputs": {"n": n}, "ground_truth": {"answer": 4}, "id": f"EXT-{n}"} for n in (1, 2)]
client = HoneyHive(api_key=key, base_url=url)
common = {"evaluators": [right], "api_key": key, "server_url": url, "project": "ignored"}
result = evaluate(function=answer, dataset=dataset, name="doubles", verbose=False, **common)
stored_id = stored_dataset(client)
stored = evaluate(function=answer, dataset_id=stored_id, name="stored", verbose=False, **common)
runs = client.experiments
run_id = result.run_id
got = {
    "run": runs.get_run(run_id).model_dump(mode="json"),
    "runs": runs.list_runs(name="doubles").model_dump(mode="json"),
    "result": runs.get_result(run_id),
    "compared": runs.compare_runs(run_id, run_id),
    "deleted": None,
    "stored": {
        "run": client.experiments.get_run(stored.run_id).model_dump(mode="json"),
        "dataset": client.datasets.list(stored_id).model_dump(mode="json")["datasets"][0],
        "passed": stored.passed,
    },
}
for name in ("result", "compared"):
    if hasattr(got[name], "model_dump"):
        got[name] = got[name].model_dump(mode="json")
got["deleted"] = runs.delete_run(run_id).model_dump(mode="json")
print(json.dumps(got))
