/** The list of traces: filters, counts over time and by value, and rows that appear by themselves. */
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { TraceFilterJson, TraceOrderJson, TraceSummaryJson } from "#api/query_pb";
import type {
  GetTraceSummaryResponseJson, ListTraceSummariesResponseJson, PollTraceChangesResponseJson,
} from "#api/query_service_pb";
import { ApiError, call, path, project, useLoad, usePoll } from "../api";
import { useKeys } from "../keys";
import { chipsOf, filterOf, isFlag, LABELS, withCondition, withoutCondition } from "../model/filters";
import { count } from "../model/format";
import { Pool } from "../parts/pool";
import { copy, Empty, Failed, save, say, title, Waiting } from "../parts/small";
import { go, place, setQuery, to } from "../place";
import { Counts } from "./trace_counts";
import { FirstSteps } from "./first_steps";
import { Filters } from "./trace_filters";
import { COLUMNS, TraceRow } from "./trace_row";

const PAGE = 100;
const MOST_RENEWED = 10;
/** The ids of the list that was shown last, for "next trace" on the page of one. */
export const lastList = signal<{ ids: string[]; search: string }>({ ids: [], search: "" });
/** The traces that were taken for a comparison. */
export const taken = signal<string[]>([]);

export function take(traceId: string): void {
  const others = taken.value.filter((id) => id !== traceId);
  taken.value = others.length < taken.value.length ? others : [...others, traceId].slice(-2);
  say(taken.value.includes(traceId) ? "taken for a comparison" : "no longer taken");
}

const ORDERS: [string, TraceOrderJson, string][] = [
  ["", "TRACE_ORDER_START_TIME", "newest first"],
  ["duration", "TRACE_ORDER_DURATION", "longest first"],
  ["cost", "TRACE_ORDER_COST", "most expensive first"],
  ["tokens", "TRACE_ORDER_TOKENS", "most tokens first"],
  ["errors", "TRACE_ORDER_ERRORS", "most errors first"],
];

export function Traces() {
  const { query } = place.value;
  const key = `${project()}?${query}`;
  // The range "last 24 hours" is that of the moment at which the list was opened.
  const filter = useMemo(() => filterOf(query, Date.now()), [key]);
  const order = ORDERS.find(([name]) => name === (query.get("order") ?? "")) ?? ORDERS[0]!;
  title("traces", project());

  const [rows, setRows] = useState<TraceSummaryJson[]>([]);
  const [token, setToken] = useState<string | null>(null);
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  const [active, setActive] = useState(-1);
  const [fresh, setFresh] = useState(0);
  const [turn, setTurn] = useState(0);
  const generation = useRef(0);

  const page = async (pageToken: string, mine: number) => {
    setLoading(true);
    try {
      const found = await call<ListTraceSummariesResponseJson>("/v1/traceSummaries", {
        filter, order: order[1], pageSize: PAGE, pageToken: pageToken || undefined,
      });
      if (generation.current !== mine) return;
      setRows((old) => [...(pageToken ? old : []), ...(found.traceSummaries ?? [])]);
      setToken(found.nextPageToken || null);
      setFailure(null);
    } catch (error) {
      if (generation.current === mine && error instanceof ApiError) setFailure(error);
    }
    if (generation.current === mine) setLoading(false);
  };
  useEffect(() => {
    const mine = ++generation.current;
    setRows([]);
    setToken(null);
    setActive(-1);
    setFresh(0);
    void page("", mine);
  }, [key, turn]);
  // A page may be empty while a slow condition is searched for: the token then leads on.
  useEffect(() => {
    if (token && !loading && rows.length < 20 && !failure) void page(token, generation.current);
  }, [token, loading]);

  useEffect(() => {
    lastList.value = { ids: rows.map((row) => row.traceId ?? ""), search: location.search };
  }, [rows]);

  const isLive = query.get("live") !== "0" && order[0] === "" && !query.has("to");
  useLive(`${key}#${turn}`, isLive && !failure, filter, rows, setRows, () => setFresh((n) => n + 1));

  const counts = <Counts key={project()} query={query} filter={filter} />;
  const href = (row: TraceSummaryJson) => to(["p", project(), "traces", row.traceId ?? ""]);
  useKeys({
    j: () => setActive(Math.min(rows.length - 1, active + 1)),
    ArrowDown: () => setActive(Math.min(rows.length - 1, active + 1)),
    k: () => setActive(Math.max(0, active - 1)),
    ArrowUp: () => setActive(Math.max(0, active - 1)),
    Enter: () => rows[active] && go(href(rows[active])),
    x: () => rows[active]?.traceId && take(rows[active].traceId!),
    y: () => void copyLink(query, filter),
    "/": () => document.getElementById("text")?.focus(),
  });
  const only = (name: string, value: string) => setQuery(withCondition(query, name, value));
  const chips = chipsOf(query);

  return (
    <div class="traces">
      <h1 class="unseen">Traces</h1>
      <Filters query={query} orders={ORDERS.map(([name, , label]) => [name, label])} />
      {chips.length > 0 && (
        <div class="chips" aria-label="Conditions" role="group">
          {chips.map(([name, value]) => (
            <button key={name + value} type="button" class="chip" title="Remove this condition"
              onClick={() => setQuery(withoutCondition(query, name, value))}>
              {LABELS[name]} {!isFlag(name) && <bdi>{value}</bdi>}
              {isFlag(name) && value !== "1" && "no"} <span aria-hidden="true">×</span>
            </button>
          ))}
          <button type="button" class="small" onClick={() => {
            setQuery(new URLSearchParams([...query].filter(([name]) => !(name in LABELS))));
          }}>Remove all</button>
        </div>
      )}
      {counts}
      <div class="bar">
        <span class="dim" aria-live="off">
          {count(rows.length)}{token ? "+" : ""} traces
          {isLive && " · live"}{fresh > 0 && ` · ${count(fresh)} new`}
        </span>
        <span class="grow" />
        {taken.value.length > 0 && (
          <span class="dim">{taken.value.length} taken (x)</span>
        )}
        {taken.value.length === 2 && (
          <a class="button" href={to(["p", project(), "compare"],
            { a: `trace:${taken.value[0]}`, b: `trace:${taken.value[1]}` })}>Compare</a>
        )}
        <button type="button" class="small" onClick={() => void copyLink(query, filter)}>Copy link</button>
        <Downloads rows={rows} filter={filter} />
      </div>
      {failure && <Failed error={failure} retry={() => setTurn(turn + 1)} />}
      {!failure && !rows.length && (loading || token
        ? <Waiting lines={12} />
        : chips.length || query.has("last") || query.has("from")
          ? <NoneMatch query={query} />
          : <NoneAtAll />)}
      {rows.length > 0 && (
        <Pool
          count={rows.length} rowHeight={32} role="grid" label="Traces" columns={COLUMNS.length}
          className="trace-list" active={active}
          activeId={rows[active] ? `row-${active}` : undefined}
          header={<div class="trace-row head" role="row">
            {COLUMNS.map(([name, label]) => (
              <span key={name} role="columnheader" class={name}>{label}</span>
            ))}
          </div>}
          row={(index) => (
            <TraceRow key={rows[index]!.traceId} trace={rows[index]!} index={index}
              isActive={index === active} href={href(rows[index]!)} only={only} />
          )}
          onEnd={() => {
            if (token && !loading && !failure) void page(token, generation.current);
          }}
        />
      )}
    </div>
  );
}

/** Copies the address with the range as times, so that the link shows the same another day. */
async function copyLink(query: URLSearchParams, filter: TraceFilterJson): Promise<void> {
  const fixed = new URLSearchParams(query);
  fixed.delete("last");
  if (filter.startTimeFrom) fixed.set("from", filter.startTimeFrom);
  if (filter.startTimeFrom) fixed.set("to", filter.startTimeBefore ?? new Date().toISOString());
  await copy(`${location.origin}${location.pathname}?${fixed}`, "link");
}

/** Adds traces as they are written, and renews those in the list, without moving the rest. */
function useLive(
  key: string, isOn: boolean, filter: object, rows: TraceSummaryJson[],
  setRows: (change: (old: TraceSummaryJson[]) => TraceSummaryJson[]) => void, onNew: () => void,
) {
  const cursor = useRef({ key: "", at: "" });
  usePoll(2, isOn, async () => {
    const isSame = cursor.current.key === key;
    let found: PollTraceChangesResponseJson;
    try {
      found = await call<PollTraceChangesResponseJson>("/v1/traceSummaries:pollChanges", {
        cursor: isSame ? cursor.current.at : undefined,
      });
    } catch (error) {
      cursor.current = { key: "", at: "" };
      throw error;
    }
    cursor.current = { key, at: found.cursor ?? "" };
    const changes = found.changes ?? [];
    if (!changes.length) return;
    const gone = new Set(changes.filter((c) => c.deleted).map((c) => c.traceId));
    const known = new Set(rows.map((row) => row.traceId));
    const top = await call<ListTraceSummariesResponseJson>("/v1/traceSummaries", {
      filter, pageSize: PAGE,
    });
    const renewed = new Map((top.traceSummaries ?? []).map((row) => [row.traceId ?? "", row]));
    const added = [...renewed.values()].filter((row) => !known.has(row.traceId));
    added.forEach(onNew);
    // Those further down, as many as do not delay the next poll.
    const below = changes.filter(({ deleted, traceId = "" }) =>
      !deleted && known.has(traceId) && !renewed.has(traceId));
    for (const { traceId } of below.slice(0, MOST_RENEWED)) {
      const answer = await call<GetTraceSummaryResponseJson>(path`/v1/traces/${traceId!}/summary`);
      if (answer.traceSummary) renewed.set(traceId!, answer.traceSummary);
    }
    setRows((old) => {
      const kept = old.filter((row) => !gone.has(row.traceId))
        .map((row) => renewed.get(row.traceId ?? "") ?? row);
      return [...added, ...kept].sort((a, b) =>
        Date.parse(b.startTime ?? "") - Date.parse(a.startTime ?? ""));
    });
  });
}

function NoneMatch({ query }: { query: URLSearchParams }) {
  const wider = new URLSearchParams(query);
  for (const name of ["from", "to"]) wider.delete(name);
  wider.set("last", "all");
  return (
    <Empty>
      <h2>No trace meets all conditions</h2>
      <p>
        {query.get("last") !== "all" && (
          <button type="button" onClick={() => setQuery(wider)}>Search all times</button>
        )}{" "}
        <a class="button" href={to(["p", project(), "traces"], { last: "all" })}>
          Remove all conditions
        </a>
      </p>
    </Empty>
  );
}

/** Nothing in the last seven days: perhaps older traces, perhaps none ever. */
function NoneAtAll() {
  const any = useLoad(project(), (signal) => call<ListTraceSummariesResponseJson>(
    "/v1/traceSummaries", { pageSize: 1 }, { signal }));
  if (any.loading) return <Waiting lines={8} />;
  return any.data?.traceSummaries?.length
    ? <NoneMatch query={new URLSearchParams()} /> : <FirstSteps />;
}

function Downloads({ rows, filter }: { rows: TraceSummaryJson[]; filter: object }) {
  const [busy, setBusy] = useState(false);
  const all = async () => {
    setBusy(true);
    const lines: string[] = [];
    let pageToken: string | undefined;
    try {
      do {
        const found: ListTraceSummariesResponseJson = await call("/v1/traceSummaries", {
          filter, pageSize: 1000, pageToken,
        });
        for (const row of found.traceSummaries ?? []) lines.push(`${JSON.stringify(row)}\n`);
        pageToken = found.nextPageToken || undefined;
        say(`${count(lines.length)} traces`);
      } while (pageToken && lines.length < 100_000);
      save(`traces-${project()}.jsonl`, "application/x-ndjson", lines);
      if (pageToken) say("The file has the first 100,000 traces.");
    } catch (error) {
      say(`The download failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    setBusy(false);
  };
  return (
    <button type="button" class="small" disabled={busy || !rows.length} onClick={() => void all()}>
      Download JSONL
    </button>
  );
}
