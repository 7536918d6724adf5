/** The list of traces: filters, counts over time and by value, and rows that appear by themselves. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { TraceFilterJson, TraceOrderJson, TraceSummaryJson } from "#api/query_pb";
import type {
  GetTraceSummaryResponseJson, ListTraceSummariesResponseJson, PollTraceChangesResponseJson,
} from "#api/query_service_pb";
import { ApiError, call, path, project, useLoad, usePoll } from "../api";
import { useKeys } from "../keys";
import { columnsText, layoutOf } from "../model/columns";
import { chipsOf, filterOf, isFlag, LABELS, withCondition, withoutCondition } from "../model/filters";
import { count } from "../model/format";
import { Pool } from "../parts/pool";
import { copy, Empty, Failed, say, title, Waiting } from "../parts/small";
import { change, go, place, setQuery, to } from "../place";
import { Downloads } from "./downloads";
import { FirstSteps } from "./first_steps";
import type { PeekProps } from "./peek";
import { ColumnMenu, shownColumns } from "./trace_columns";
import { Counts } from "./trace_counts";
import { Filters } from "./trace_filters";
import { TraceRow } from "./trace_row";

const PAGE = 100;
const MOST_RENEWED = 10;
// Parameters of the address that change how the list looks, and not what is in it.
const LOOKS = ["cols", "peek"];
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
  const conditions = new URLSearchParams([...query].filter(([name]) => !LOOKS.includes(name)));
  const key = `${project()}?${conditions}`;
  // The range "last 24 hours" is that of the moment at which the list was opened.
  const filter = useMemo(() => filterOf(query, Date.now()), [key]);
  const order = ORDERS.find(([name]) => name === (query.get("order") ?? "")) ?? ORDERS[0]!;
  title("traces", project());

  const [rows, setRows] = useState<TraceSummaryJson[]>([]);
  const [token, setToken] = useState<string | null>(null);
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  // An id, because new traces change the number of each row.
  const [selected, setSelected] = useState("");
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
  useLayoutEffect(() => {
    const mine = ++generation.current;
    setRows([]);
    setToken(null);
    setSelected("");
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

  const peeked = query.get("peek") ?? "";
  const list = useRef<HTMLDivElement>(null);
  const Peek = usePeek(peeked !== "");
  const current = peeked || selected;
  const active = useMemo(() => rows.findIndex((row) => row.traceId === current), [rows, current]);
  const activate = (index: number) => {
    const id = rows[index]?.traceId;
    if (!id) return;
    setSelected(id);
    if (peeked) change({ peek: id });
  };
  const move = (step: number) => activate(Math.max(0, Math.min(rows.length - 1, active + step)));
  const peek = () => {
    const id = rows[Math.max(0, active)]?.traceId;
    if (peeked) closePeek();
    else if (id) change({ peek: id });
  };
  const closePeek = () => {
    const focused = document.activeElement;
    const pool = list.current?.querySelector<HTMLElement>(".trace-list");
    setSelected(peeked);
    change({ peek: null });
    // What has the focus is about to be removed.
    if (focused?.closest(".peek")) pool?.focus();
  };
  const columns = shownColumns(query);
  const layout = layoutOf(columns);

  // After the rows: counting takes longer, and a reader waits for the rows.
  const counts = (
    <Counts key={project()} query={query} filter={filter} wait={loading && !rows.length} />
  );
  const href = (row: TraceSummaryJson) => to(["p", project(), "traces", row.traceId ?? ""]);
  const copyThis = () => void copyLink(query, filter, columnsText(columns));
  useKeys({
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    " ": peek,
    ...(peeked ? { Escape: closePeek } : {}),
    Enter: () => rows[active] && go(href(rows[active])),
    x: () => rows[active]?.traceId && take(rows[active].traceId!),
    y: copyThis,
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
        <button type="button" class="toggle small" aria-pressed={peeked !== ""}
          disabled={!rows.length} title="The selected trace beside the list (Space)"
          onClick={peek}>Peek</button>
        <ColumnMenu shown={columns} />
        <button type="button" class="small" onClick={copyThis}>Copy link</button>
        <Downloads filter={filter} disabled={!rows.length} />
      </div>
      {failure && <Failed error={failure} retry={() => setTurn(turn + 1)} />}
      {!failure && !rows.length && (loading || token
        ? <Waiting lines={12} />
        : chips.length || query.has("last") || query.has("from")
          ? <NoneMatch query={query} />
          : <NoneAtAll />)}
      {(rows.length > 0 || peeked) && (
        <div ref={list} class={`beside${peeked ? " with-peek" : ""}`}
          style={{ "--columns": layout.columns, "--row-width": layout.width }}>
          {rows.length > 0 && (
            <Pool
              count={rows.length} rowHeight={32} role="grid" label="Traces" columns={columns.length}
              className="trace-list" active={active}
              activeId={rows[active] ? `row-${active}` : undefined}
              header={<div class="trace-row head" role="row">
                {columns.map(({ name, label }) => (
                  <span key={name} role="columnheader" class={`c-${name}`}>{label}</span>
                ))}
              </div>}
              row={(index) => (
                <TraceRow key={rows[index]!.traceId} trace={rows[index]!} index={index}
                  columns={columns} isActive={index === active} href={href(rows[index]!)} only={only}
                  activate={activate} />
              )}
              onEnd={() => {
                if (token && !loading && !failure) void page(token, generation.current);
              }}
            />
          )}
          {peeked && Peek && (
            <Peek traceId={peeked} row={rows[active]} close={closePeek} />
          )}
        </div>
      )}
    </div>
  );
}

/** Copies the address with the range as times, so that the link shows the same another day. */
async function copyLink(
  query: URLSearchParams, filter: TraceFilterJson, columns: string,
): Promise<void> {
  const fixed = new URLSearchParams(query);
  fixed.delete("last");
  if (columns) fixed.set("cols", columns);
  if (filter.startTimeFrom) fixed.set("from", filter.startTimeFrom);
  if (filter.startTimeFrom) fixed.set("to", filter.startTimeBefore ?? new Date().toISOString());
  await copy(`${location.origin}${location.pathname}?${fixed}`, "link");
}

/** The component that shows a trace beside the list, loaded when it is first needed. */
function usePeek(isNeeded: boolean): ComponentType<PeekProps> | null {
  const [known, setKnown] = useState<ComponentType<PeekProps> | null>(null);
  useEffect(() => {
    if (!isNeeded || known) return;
    // A server that was upgraded has other files than this page knows.
    import("./peek").then(({ Peek }) => setKnown(() => Peek), () => location.reload());
  }, [isNeeded]);
  return known;
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
