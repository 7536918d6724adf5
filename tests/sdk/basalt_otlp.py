"""Run by the new client's own Python: basalt-sdk 1.1.10 against BASALT_URL, by REST and OTLP;
prints what its calls gave as JSON."""

from __future__ import annotations

import json
import os
import sys

from basalt import Basalt
from basalt.datasets import FileAttachment
from basalt.observability import EvaluationConfig, ObserveKind, observe, start_observe

os.environ["BASALT_OTEL_EXPORTER_OTLP_ENDPOINT"] = os.environ["BASALT_URL"] + "/v1/traces"
basalt = Basalt(api_key=os.environ["BASALT_KEY"], base_url=os.environ["BASALT_URL"])
experiment = basalt.experiments.create_sync(feature_slug="qa-chatbot", name="exp B")
prompt = basalt.prompts.get_sync("qa-prompt", tag="production", variables={"name": "Ann"})
described = basalt.prompts.describe_sync("qa-prompt")
tag = basalt.prompts.publish_sync("qa-prompt", new_tag="canary", version="1.2.0")
said = {
    "experiment": {
        "id": experiment.id,
        "name": experiment.name,
        "slug": experiment.feature_slug,
    },
    "prompt": {
        "text": prompt.text,
        "version": prompt.version,
        "model": prompt.model.model,
        "temperature": prompt.model.parameters.temperature,
    },
    "variables": [variable["label"] for variable in described.variables],
    "prompts": [[p.slug, p.status] for p in basalt.prompts.list_sync()],
    "tag": tag.label,
    "file": basalt.datasets.add_row_sync(
        "qa-set",
        {"q": FileAttachment(source=b"\x89PNG", filename="a.png", content_type="image/png")},
    ).values["q"],
}
with start_observe(
    feature_slug="qa-chatbot",
    name="observed",
    experiment=experiment,
    evaluators=["short"],
    evaluate_config=EvaluationConfig(sample_rate=1.0),
) as root:
    root.set_input("Capital of France?")
    with observe(name="ask", kind=ObserveKind.GENERATION) as generation:
        generation.set_input("Q")
        generation.set_output("Paris")
    root.set_output("Paris")
basalt.shutdown()
json.dump(said, sys.stdout)
