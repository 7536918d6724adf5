"""Run by the new client's own Python: the REST calls of basalt-sdk 1.1.10 against BASALT_URL; prints what they gave as JSON."""

from __future__ import annotations

import json
import os
import sys

from basalt import Basalt

basalt = Basalt(
    api_key=os.environ["BASALT_KEY"], base_url=os.environ["BASALT_URL"], enable_telemetry=False
)
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
}
json.dump(said, sys.stdout)
