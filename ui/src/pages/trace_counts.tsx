/** Counts of traces over time and by value; what was not counted in time is left out or marked. */
import { useState } from "preact/hooks";
import type { FacetCountsJson, TraceFilterJson, TraceFacetJson } from "#api/query_pb";
import type { CountTracesResponseJson } from "#api/query_service_pb";
import { call, project, useLoad } from "../api";
import { withCondition } from "../model/filters";
import { count, brief } from "../model/format";
import { Brushed, useBrush } from "../parts/brush";
import { Sent } from "../parts/small";
import { setQuery } from "../place";
import { zoneNow } from "../settings";

const FACETS: [TraceFacetJson, string, string][] = [
  ["TRACE_FACET_STATUS_CODE", "status", "Status"],
  ["TRACE_FACET_NAME", "name", "Name"],
  ["TRACE_FACET_FEATURE", "feature", "Feature"],
  ["TRACE_FACET_MODEL", "model", "Model"],
  ["TRACE_FACET_AGENT", "agent", "Agent"],
  ["TRACE_FACET_ENVIRONMENT", "env", "Environment"],
  ["TRACE_FACET_USER", "user", "User"],
  ["TRACE_FACET_ORIGIN", "origin", "Received by"],
];
const BUCKETS = 60;

export function Counts(
  { query, filter, wait }: { query: URLSearchParams; filter: TraceFilterJson; wait: boolean },
) {
  const [limit, setLimit] = useState("0.2s");
  const hasRange = filter.startTimeFrom !== undefined;
  const key = `${project()} ${JSON.stringify({ ...filter, startTimeFrom: undefined })} ${query.get("last")} ${limit}`;
  const counts = useLoad(wait ? null : key, (signal) => call<CountTracesResponseJson>(
    "/v1/traceSummaries:count", {
      filter: hasRange
        ? { ...filter, startTimeBefore: filter.startTimeBefore ?? new Date().toISOString() } : filter,
      facets: FACETS.map(([facet]) => facet),
      maxValues: 6,
      bucketCount: hasRange ? BUCKETS : 0,
      timeLimit: limit,
    }, { signal }));
  const found = counts.data;
  const facets = (found?.facets ?? []).filter((facet) =>
    (facet.values ?? []).some((one) => one.value));
  return (
    <div class="counts" aria-busy={counts.loading}>
      {hasRange && <Histogram counts={found} query={query} />}
      <div class="facets">
        {facets.map((facet) => <Facet key={facet.facet} facet={facet} query={query} />)}
        {found && !(found.complete && facets.every((facet) => facet.complete)) && (
          <button type="button" class="small" onClick={() => setLimit("10s")}>Count all</button>
        )}
      </div>
    </div>
  );
}

function Facet({ facet, query }: { facet: FacetCountsJson; query: URLSearchParams }) {
  const known = FACETS.find(([name]) => name === facet.facet);
  if (!known) return null;
  const values = (facet.values ?? []).filter((one) => one.value);
  const [, name, label] = known;
  const word = (value: string) => value.replace(/^STATUS_CODE_|^SPAN_ORIGIN_/, "").toLowerCase()
    .replaceAll("_", " ");
  const isEnum = name === "status" || name === "origin";
  return (
    <div class="facet">
      <span class="facet-name">{label}</span>
      {values.map(({ value = "", count: number }) => {
        const text = isEnum ? word(value) : value;
        const condition = name === "status" ? text : value;
        const isSettable = name !== "status" || text === "ok" || text === "error";
        const isOn = query.getAll(name).includes(condition);
        return (
          <button key={value} type="button" class="value" aria-pressed={isOn} disabled={!isSettable}
            title={`Only ${text}`} onClick={() => setQuery(withCondition(query, name, condition))}>
            <Sent text={text} /> <span class="dim">{facet.complete ? "" : "≥"}{count(number)}</span>
          </button>
        );
      })}
    </div>
  );
}

function Histogram(
  { counts, query }: { counts: CountTracesResponseJson | null; query: URLSearchParams },
) {
  const buckets = counts?.buckets ?? [];
  const most = Math.max(1, ...buckets.map((one) => Number(one.traceCount ?? 0)));
  const total = Number(counts?.traceCount ?? 0);
  const width = buckets.length > 1
    ? Date.parse(buckets[1]!.startTime!) - Date.parse(buckets[0]!.startTime!) : 0;
  /** Sets the range of time to that of some buckets. */
  const choose = (first: number, last: number) => {
    if (!buckets[first] || !buckets[last]) return;
    const next = new URLSearchParams(query);
    next.delete("last");
    next.set("from", new Date(buckets[first].startTime!).toISOString());
    next.set("to", new Date(Date.parse(buckets[last].startTime!) + width).toISOString());
    setQuery(next);
  };
  const bucketAt = (share: number) => Math.min(BUCKETS - 1, Math.floor(share * BUCKETS));
  const brush = useBrush((from, to) => choose(bucketAt(from), bucketAt(to)));
  const chosen = brush.range && [
    bucketAt(brush.range[0]) / BUCKETS, (bucketAt(brush.range[1]) + 1) / BUCKETS] as const;
  return (
    <div class="histogram">
      <div class="bars" {...brush.handlers}>
        {Array.from({ length: BUCKETS }, (_, at) => {
          const bucket = buckets[at];
          const all = Number(bucket?.traceCount ?? 0);
          const failed = Number(bucket?.failedTraceCount ?? 0);
          const label = bucket
            ? `${brief(bucket.startTime, zoneNow())}: ${count(all)} traces, ${count(failed)} failed` : "";
          return (
            <button key={at} type="button" class="bucket" title={label} aria-label={label}
              tabIndex={-1} disabled={!all} onClick={() => choose(at, at)}>
              <span class="all" style={{ height: `${((all - failed) / most) * 100}%` }} />
              <span class="failed-part" style={{ height: `${(failed / most) * 100}%` }} />
            </button>
          );
        })}
        <Brushed range={chosen} />
      </div>
      <div class="axis dim">
        <span>{buckets[0] && brief(buckets[0].startTime, zoneNow())}</span>
        <span>{counts && `${counts.complete ? "" : "at least "}${count(total)} traces`}</span>
        <span>{buckets.length > 0 && brief(Date.parse(buckets[buckets.length - 1]!.startTime!) + width, zoneNow())}</span>
      </div>
    </div>
  );
}
