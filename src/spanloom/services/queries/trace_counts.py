"""Counts traces by facet and over time."""

from __future__ import annotations

from typing import Final

from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.model.summaries import Facet
from spanloom.services.context import CallContext
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.services.queries.pages import clamped, violations_of
from spanloom.services.queries.trace_filters import FACETS, OF_ROOT, seconds_of, trace_query
from spanloom.store.summaries import Summaries
from spanloom.v1 import query_pb2
from spanloom.v1 import query_service_pb2 as pb

_MOST_BUCKETS: Final = 120
_STATUS_NAMES: Final = {"UNSET": "UNSPECIFIED"}


async def counted_traces(
    summaries: Summaries, request: pb.CountTracesRequest, call: CallContext
) -> pb.CountTracesResponse:
    """The answer to a request."""
    project = call.project()
    violations = violations_of(request)
    query = trace_query(request.filter, violations)
    facets = [FACETS[facet] for facet in request.facets if facet in FACETS]
    for index, facet in enumerate(request.facets):
        if facet not in FACETS:
            violations.add(f"facets[{index}]", "is not a known facet")
        elif facet in request.facets[:index]:
            violations.add(f"facets[{index}]", "is given twice")
    most = clamped("max_values", request.max_values, violations, default=10, maximum=100)
    buckets = request.bucket_count
    since, before = query.since_ns, query.before_ns
    if not 0 <= buckets <= _MOST_BUCKETS:
        violations.add("bucket_count", f"must be from 0 to {_MOST_BUCKETS}")
    elif buckets and (since is None or before is None or since >= before):
        violations.add("bucket_count", "requires a range of start times in the filter")
    seconds = seconds_of(request, "time_limit", violations, default=0.2, most=10)
    violations.refuse()
    counts = await summaries.count(
        project, query, facets=facets, of_root=OF_ROOT, buckets=buckets, seconds=seconds
    )
    response = pb.CountTracesResponse(trace_count=counts.total, complete=counts.complete)
    for number, name in zip(request.facets, facets, strict=True):
        values = sorted(counts.facets[name].items(), key=lambda item: (-item[1], item[0]))
        listed = [
            query_pb2.FacetCounts.ValueCount(value=_facet_value(name, value), count=count)
            for value, count in values[:most]
        ]
        response.facets.add(facet=number, complete=counts.complete, values=listed)
    _drop_longest(response)
    for place, (all_of, failed) in enumerate(counts.buckets):
        start = (since or 0) + place * ((before or 0) - (since or 0)) // buckets
        response.buckets.add(
            start_time=timestamp_from_ns(start), trace_count=all_of, failed_trace_count=failed
        )
    return response


def _facet_value(facet: Facet, value: str) -> str:
    return f"STATUS_CODE_{_STATUS_NAMES.get(value, value)}" if facet == "status" else value


def _drop_longest(response: pb.CountTracesResponse) -> None:
    """Leave out the longest values of facets where the response would be too large."""
    while response.ByteSize() > MAX_RESPONSE_BYTES - (64 << 10):
        facet = max(response.facets, key=lambda facet: facet.ByteSize())
        longest = max(range(len(facet.values)), key=lambda n: len(facet.values[n].value))
        del facet.values[longest]
