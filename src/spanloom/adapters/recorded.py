"""What OpenTelemetry records of any span, in the layout in which `sent` keeps it.

OpenTelemetry's spans and those of Spanloom's own API have it, in the typed JSON of
`spanloom.adapters.otlp.attributes`; what is zero, empty or unset is left out:

    attributes, trace_state, flags (integer)
    span_kind           "SPAN_KIND_CLIENT"..., an integer for a kind that the specification lacks
    events              [{name?, time_ns?, attributes?, dropped?}]
    links               [{trace_id?, span_id?, trace_state?, attributes?, dropped?, flags?}]
    dropped             {attributes?, events?, links?}: how many the SDK dropped
    resource            {attributes?, dropped?, schema_url?, entity_refs?, absent?}
    scope               {name?, version?, attributes?, dropped?, schema_url?, absent?}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spanloom.model import NO_BODY, Json, Span

OTLP: Final = "otlp"
NATIVE: Final = "native"
RECORDED: Final = (
    *("attributes", "trace_state", "flags", "span_kind", "events", "links", "dropped"),
    *("resource", "scope"),
)


def recorded(span: Span) -> Mapping[str, Json]:
    """The fields of this layout that the span has; it may have others beside them."""
    return span.sent.fields if span.sent.adapter in (OTLP, NATIVE) else NO_BODY
