"""How each table takes part in a copy."""

from __future__ import annotations

from typing import Final

from spanloom.store.sql import tables as t

# With the rows of spans, in the order in which they are written.
BY_VERSION: Final = (t.envelopes, t.attachments, t.attached, t.bodies, t.spans)
# By their keys. Those without a project are copied with all projects only.
BY_KEY: Final = (
    *(t.projects, t.keys, t.sign_in_links, t.traces, t.deleted_spans, t.patches, t.feedback),
    *(t.experiments, t.prompt_versions, t.prompt_tags, t.evaluators, t.evaluations),
    *(t.datasets, t.dataset_rows, t.files, t.records, t.answers, t.erasures, t.cursors),
)
# What is made from the spans, or is of processes that run.
LEFT_OUT: Final = (
    *(t.term_cursor, t.words, t.usage_cells, t.usage_cursor, t.usage_retired, t.usage_moved),
    *(t.released_attachments, t.leases),
)
# The column that says whose a row is.
PROJECT: Final = {t.projects: "name"}
