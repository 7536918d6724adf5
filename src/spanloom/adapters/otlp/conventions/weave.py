"""W&B Weave's attributes, which beat all others: a weave.* key for each gen_ai.* key, and more.

Source: docs/contracts/agent_chat.md, section 2.2 (PyPI weave 0.53.12).
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention
from spanloom.adapters.otlp.conventions.otel_genai import FIELDS
from spanloom.genai.reading import count, text, texts

CONVENTION = Convention(
    "W&B Weave",
    rules=(
        *(("weave." + key, field, reader) for key, field, reader in FIELDS),
        ("weave.compaction.summary", "compaction_summary", text),
        ("weave.compaction.items_before", "compaction_items_before", count),
        ("weave.compaction.items_after", "compaction_items_after", count),
        ("weave.content_refs", "content_refs", texts),
        ("weave.artifact_refs", "content_refs", texts),
        ("weave.object_refs", "content_refs", texts),
    ),
)
