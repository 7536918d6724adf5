/** The list of sessions: conversations, the latest activity first. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ConversationFilterJson, ConversationSummaryJson } from "#api/query_pb";
import type { ListConversationsResponseJson } from "#api/query_service_pb";
import { ApiError, call, project } from "../api";
import { useKeys } from "../keys";
import { rangeOf, withCondition } from "../model/filters";
import { count, duration } from "../model/format";
import { Pool } from "../parts/pool";
import { Ago, Cost, Empty, Failed, Sent, Thumbs, title, Tokens, Waiting } from "../parts/small";
import { go, place, setQuery, to } from "../place";
import { TimeRange } from "./trace_filters";

const COLUMNS: [string, string][] = [
  ["c-start", "Last activity"], ["c-said", "First words → latest answer"], ["c-turns", "Turns"],
  ["c-time", "Length"], ["c-agent", "Agent"], ["c-user", "User"], ["c-tokens", "Tokens"],
  ["c-cost", "Cost"], ["c-spans", "Errors"], ["c-marks", "Feedback"],
];
const TEXTS = { user: "userId", agent: "agentName", model: "model", feature: "feature" } as const;

function filterOf(query: URLSearchParams): ConversationFilterJson {
  const filter: ConversationFilterJson = {};
  const { from, to: end } = rangeOf(query, Date.now(), "30d");
  if (from !== null) filter.lastActivityTimeFrom = new Date(from).toISOString();
  if (end !== null) filter.lastActivityTimeBefore = new Date(end).toISOString();
  for (const [name, field] of Object.entries(TEXTS)) {
    const value = query.get(name);
    if (value) filter[field] = value;
  }
  if (query.get("error") === "1") filter.hasError = true;
  if (query.get("review") === "1") filter.hasReview = true;
  if (query.get("turns") === "2") filter.minTraceCount = "2";
  return filter;
}

export function Sessions() {
  const { query } = place.value;
  const key = `${project()}?${query}`;
  const filter = useMemo(() => filterOf(query), [key]);
  const [rows, setRows] = useState<ConversationSummaryJson[]>([]);
  const [token, setToken] = useState("");
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  const [active, setActive] = useState(-1);
  const generation = useRef(0);
  title("sessions", project());

  const page = async (pageToken: string, mine: number) => {
    setLoading(true);
    try {
      const found = await call<ListConversationsResponseJson>("/v1/conversations", {
        filter, pageSize: 100, pageToken: pageToken || undefined,
      });
      if (generation.current !== mine) return;
      setRows((old) => [...(pageToken ? old : []), ...(found.conversations ?? [])]);
      setToken(found.nextPageToken ?? "");
      setFailure(null);
    } catch (error) {
      if (generation.current === mine && error instanceof ApiError) setFailure(error);
    }
    if (generation.current === mine) setLoading(false);
  };
  const begin = () => {
    setRows([]);
    setActive(-1);
    void page("", ++generation.current);
  };
  useEffect(begin, [key]);

  const href = (row: ConversationSummaryJson) =>
    to(["p", project(), "sessions", row.conversationId ?? ""]);
  useKeys({
    j: () => setActive(Math.min(rows.length - 1, active + 1)),
    ArrowDown: () => setActive(Math.min(rows.length - 1, active + 1)),
    k: () => setActive(Math.max(0, active - 1)),
    ArrowUp: () => setActive(Math.max(0, active - 1)),
    Enter: () => rows[active] && go(href(rows[active])),
  });
  const flag = (name: string, value: string, label: string) => (
    <button type="button" class="toggle" aria-pressed={query.get(name) === value} onClick={() => {
      const next = withCondition(query, name, value);
      if (query.get(name) === value) next.delete(name);
      setQuery(next);
    }}>{label}</button>
  );
  const conditions = [...query].filter(([name]) => name in TEXTS);
  const only = (name: string, value: string | undefined, text = value) => value ? (
    <button type="button" class="value" tabIndex={-1} title={`Only ${text}`}
      onClick={() => setQuery(withCondition(query, name, value))}><Sent text={text} /></button>
  ) : null;
  return (
    <div class="traces">
      <h1 class="unseen">Sessions</h1>
      <div class="filters">
        <TimeRange query={query} preset="30d" />
        {flag("error", "1", "has error")}
        {flag("review", "1", "has feedback")}
        {flag("turns", "2", "two turns or more")}
        {conditions.map(([name, value]) => (
          <button key={name} type="button" class="chip" title="Remove this condition" onClick={() => {
            const next = new URLSearchParams(query);
            next.delete(name);
            setQuery(next);
          }}>{name} <bdi>{value}</bdi> ×</button>
        ))}
        <span class="grow" />
        <span class="dim">{count(rows.length)}{token ? "+" : ""} sessions</span>
      </div>
      {failure && <Failed error={failure} retry={begin} />}
      {!rows.length && !failure && (loading ? <Waiting lines={12} /> : (
        <Empty>
          <h2>No session meets all conditions</h2>
          <p><a class="button" href={to(["p", project(), "sessions"], { last: "all" })}>Show all sessions</a></p>
        </Empty>
      ))}
      {rows.length > 0 && (
        <Pool count={rows.length} rowHeight={32} role="grid" label="Sessions" columns={COLUMNS.length}
          className="session-list" active={active} activeId={active >= 0 ? `row-${active}` : undefined}
          header={<div class="session-row head" role="row">
            {COLUMNS.map(([name, label]) => <span key={name} role="columnheader" class={name}>{label}</span>)}
          </div>}
          row={(index) => {
            const row = rows[index]!;
            const figures = row.figures ?? {};
            return (
              <div key={row.conversationId} role="row" id={`row-${index}`} aria-rowindex={index + 2}
                aria-selected={index === active} class={`session-row${index === active ? " active" : ""}`}>
                <span role="gridcell" class="c-start"><Ago at={row.lastActivityTime} /></span>
                <span role="gridcell" class="c-said">
                  <a href={href(row)} tabIndex={-1}>
                    <Sent text={row.name || row.inputPreview || row.conversationId} />
                  </a>
                  {row.outputPreview && <span class="dim"> → <Sent text={row.outputPreview} /></span>}
                </span>
                <span role="gridcell" class="c-turns">{count(row.traceCount)}</span>
                <span role="gridcell" class="c-time">
                  {duration(Date.parse(row.lastActivityTime ?? "") - Date.parse(row.startTime ?? ""))}
                </span>
                <span role="gridcell" class="c-agent">{only("agent", row.agentNames?.[0])}</span>
                <span role="gridcell" class="c-user">{only("user", row.user?.id, row.user?.name || row.user?.id)}</span>
                <span role="gridcell" class="c-tokens"><Tokens input={figures.inputTokens} output={figures.outputTokens} /></span>
                <span role="gridcell" class="c-cost"><Cost usd={figures.costUsd} /></span>
                <span role="gridcell" class="c-spans">
                  {Number(figures.errorCount ?? 0) > 0 && <span class="bad">✕{count(figures.errorCount)}</span>}
                </span>
                <span role="gridcell" class="c-marks"><Thumbs reviews={row.reviews} /></span>
              </div>
            );
          }}
          onEnd={() => {
            if (token && !loading && !failure) void page(token, generation.current);
          }} />
      )}
    </div>
  );
}
