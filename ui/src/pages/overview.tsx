/** Usage over time and by group: traces, errors, costs, tokens, durations; each chart as a table. */
import { useMemo, useState } from "preact/hooks";
import type { UsageBucketJson, UsageDimensionJson, UsageFilterJson, UsagePointJson } from "#api/query_pb";
import type { GetUsageResponseJson } from "#api/query_service_pb";
import { call, project, useLoad } from "../api";
import { rangeOf, withCondition } from "../model/filters";
import { brief, cost, count, duration, ms, percent, short } from "../model/format";
import { Empty, Loads, Sent, title } from "../parts/small";
import { place, setQuery, to } from "../place";
import { zoneNow } from "../settings";
import { TimeRange } from "./trace_filters";

const GROUPS: [string, UsageDimensionJson, string, string][] = [
  ["model", "USAGE_DIMENSION_MODEL", "Model", "model"],
  ["agent", "USAGE_DIMENSION_AGENT", "Agent", "agent"],
  ["version", "USAGE_DIMENSION_AGENT_VERSION", "Agent version", ""],
  ["feature", "USAGE_DIMENSION_FEATURE", "Feature", "feature"],
  ["user", "USAGE_DIMENSION_USER", "User", "user"],
  ["name", "USAGE_DIMENSION_NAME", "Span name", ""],
  ["kind", "USAGE_DIMENSION_KIND", "Kind", ""],
];
const FILTERS = { model: "model", agent: "agentName", feature: "feature", user: "userId" } as const;

interface Chart {
  name: string;
  unit: (value: number) => string;
  /** Name, value, and the class of its colour. */
  series: [string, (point: UsagePointJson) => number, string?][];
  stacked: boolean;
}

const CHARTS: Chart[] = [
  { name: "Traces", unit: count, stacked: true, series: [
    ["succeeded", (p) => Number(p.traceCount ?? 0) - Number(p.failedTraceCount ?? 0)],
    ["with errors", (p) => Number(p.failedTraceCount ?? 0), "s-bad"]] },
  { name: "Cost", unit: cost, stacked: true, series: [
    ["cost", (p) => Number(p.figures?.costUsd ?? 0)]] },
  { name: "Tokens", unit: short, stacked: true, series: [
    ["input", (p) => Number(p.figures?.inputTokens ?? 0)],
    ["output", (p) => Number(p.figures?.outputTokens ?? 0)]] },
  { name: "Duration of spans", unit: duration, stacked: false, series: [
    ["median", (p) => Math.max(0, ms(p.durationP50))],
    ["95th percentile", (p) => Math.max(0, ms(p.durationP95))]] },
  { name: "Calls", unit: count, stacked: true, series: [
    ["model", (p) => Number(p.figures?.modelCallCount ?? 0)],
    ["tool", (p) => Number(p.figures?.toolCallCount ?? 0)]] },
  { name: "Failed spans", unit: count, stacked: true, series: [
    ["failed", (p) => Number(p.figures?.errorCount ?? 0), "s-bad"]] },
];

function bucketOf(hours: number): [UsageBucketJson, number] {
  if (hours <= 72) return ["USAGE_BUCKET_HOUR", 1];
  if (hours <= 24 * 93) return ["USAGE_BUCKET_DAY", 24];
  return ["USAGE_BUCKET_WEEK", 24 * 7];
}

export function Overview() {
  const { query } = place.value;
  title("overview", project());
  const by = GROUPS.find(([name]) => name === query.get("by")) ?? GROUPS[0]!;
  const key = `${project()}?${query}`;
  const { range, filter, bucket } = useMemo(() => {
    const { from, to: end } = rangeOf(query, Date.now());
    const start = from ?? Date.now() - 365 * 86_400_000;
    const chosen: UsageFilterJson = {};
    for (const [name, field] of Object.entries(FILTERS)) {
      const value = query.get(name);
      if (value) chosen[field] = value;
    }
    return {
      range: { startTimeFrom: new Date(start).toISOString(),
        startTimeBefore: new Date(end ?? Date.now()).toISOString(),
        timeZone: zoneNow() === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone },
      filter: chosen,
      bucket: bucketOf(((end ?? Date.now()) - start) / 3_600_000),
    };
  }, [key, zoneNow()]);
  const time = useLoad(`${key} time`, (signal) => call<GetUsageResponseJson>("/v1/usage",
    { ...range, bucket: bucket[0], filter }, { signal }));
  const groups = useLoad(`${key} groups`, (signal) => call<GetUsageResponseJson>("/v1/usage",
    { ...range, groupBy: by[0] === "version"
      ? ["USAGE_DIMENSION_AGENT", "USAGE_DIMENSION_AGENT_VERSION"] : [by[1]], filter }, { signal }));
  const total = useLoad(`${key} total`, (signal) => call<GetUsageResponseJson>("/v1/usage",
    { ...range, filter }, { signal }));
  const conditions = [...query].filter(([name]) => name in FILTERS);
  return (
    <div class="overview">
      <h1 class="unseen">Overview</h1>
      <div class="filters">
        <TimeRange query={query} />
        {conditions.map(([name, value]) => (
          <button key={name} type="button" class="chip" title="Remove this condition" onClick={() => {
            const next = new URLSearchParams(query);
            next.delete(name);
            setQuery(next);
          }}>{name} <bdi>{value}</bdi> ×</button>
        ))}
        <span class="grow" />
        <a class="button" href={to(["p", project(), "traces"], traceQuery(query))}>Show these traces</a>
      </div>
      <Loads of={total} lines={1}>{({ points = [] }) => <Totals point={points[0] ?? {}} />}</Loads>
      <Loads of={time} lines={8}>
        {({ points = [] }) => points.length ? (
          <div class="charts">
            {CHARTS.map((chart) => (
              <ChartView key={chart.name} chart={chart} points={points} from={range.startTimeFrom}
                to={range.startTimeBefore} hours={bucket[1]} query={query} />
            ))}
          </div>
        ) : <Empty><p>Nothing was recorded in this time.</p></Empty>}
      </Loads>
      <section class="group-table">
        <h2>By{" "}
          <select aria-label="Group by" value={by[0]}
            onChange={(e) => setQuery(withCondition(query, "by", e.currentTarget.value))}>
            {GROUPS.map(([name, , label]) => <option key={name} value={name}>{label.toLowerCase()}</option>)}
          </select>
        </h2>
        <Loads of={groups} lines={5}>
          {({ points = [] }) => <GroupTable points={points} label={by[2]} condition={by[3]} query={query} />}
        </Loads>
      </section>
    </div>
  );
}

function traceQuery(query: URLSearchParams): URLSearchParams {
  return new URLSearchParams([...query].filter(([name]) =>
    ["last", "from", "to"].includes(name) || name in FILTERS));
}

function Totals({ point }: { point: UsagePointJson }) {
  const figures = point.figures ?? {};
  const traces = Number(point.traceCount ?? 0);
  const facts: [string, string][] = [
    ["traces", count(point.traceCount)],
    ["with errors", traces ? percent(Number(point.failedTraceCount ?? 0) / traces) : "0 %"],
    ["cost", cost(Number(figures.costUsd ?? 0))],
    ["model calls", count(figures.modelCallCount)],
    ["tool calls", count(figures.toolCallCount)],
    ["tokens in", short(figures.inputTokens)],
    ["tokens out", short(figures.outputTokens)],
    ["spans", count(figures.spanCount)],
  ];
  return (
    <dl class="totals">
      {facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

const WIDTH = 320;
const HEIGHT = 96;

function ChartView(
  { chart, points, from, to: end, hours, query }:
  { chart: Chart; points: UsagePointJson[]; from: string; to: string; hours: number; query: URLSearchParams },
) {
  const [table, setTable] = useState(false);
  const start = Date.parse(from);
  const length = Math.max(1, Date.parse(end) - start);
  const values = points.map((point) => chart.series.map(([, of]) => of(point)));
  const height = (row: number[]) => chart.stacked ? row.reduce((a, b) => a + b, 0) : Math.max(...row);
  const most = Math.max(...values.map(height), 1e-9);
  const full = Math.max(1.5, (hours * 3_600_000 / length) * WIDTH - 1);
  const show = (point: UsagePointJson) => {
    const next = traceQuery(query);
    const at = Date.parse(point.bucketTime!);
    next.delete("last");
    next.set("from", new Date(at).toISOString());
    next.set("to", new Date(at + hours * 3_600_000).toISOString());
    return to(["p", project(), "traces"], next);
  };
  return (
    <figure class="chart">
      <figcaption>
        <span>{chart.name}</span>
        <span class="grow" />
        <span class="dim">max {chart.unit(most < 1e-6 ? 0 : most)}</span>
        <button type="button" class="small" aria-pressed={table} onClick={() => setTable(!table)}>
          {table ? "Chart" : "Table"}
        </button>
      </figcaption>
      <p class="legend">
        {chart.series.map(([name, , colour = ""], at) => (
          <span key={name}><span class={`swatch s${at} ${colour}`} />{name}</span>
        ))}
      </p>
      {table ? (
        <div class="scroll" tabIndex={0} role="region" aria-label={`${chart.name} as a table`}>
          <table>
            <thead><tr><th scope="col">Time</th>{chart.series.map(([name]) => <th key={name} scope="col">{name}</th>)}</tr></thead>
            <tbody>
              {points.map((point, at) => (
                <tr key={at}>
                  <th scope="row"><a href={show(point)}>{brief(point.bucketTime, zoneNow())}</a></th>
                  {values[at]!.map((value, s) => <td key={s}>{chart.unit(value)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
          aria-label={`${chart.name}: ${points.length} bars, at most ${chart.unit(most)}`}>
          {points.map((point, at) => {
            // The first bucket may begin before the range.
            const begin = ((Date.parse(point.bucketTime!) - start) / length) * WIDTH;
            const x = Math.max(0, begin);
            const width = Math.max(1.5, begin + full - x);
            let base = HEIGHT;
            return (
              <g key={at}>
                <title>{`${brief(point.bucketTime, zoneNow())}: ${chart.series.map(([name], s) => `${name} ${chart.unit(values[at]![s]!)}`).join(", ")}`}</title>
                {!chart.stacked && <rect class="s1" x={x} width={width}
                  y={HEIGHT - (values[at]![1]! / most) * HEIGHT} height={(values[at]![1]! / most) * HEIGHT} />}
                {chart.series.map(([name, , colour = ""], s) => {
                  if (!chart.stacked && s === 1) return null;
                  const size = (values[at]![s]! / most) * HEIGHT;
                  base = chart.stacked ? base - size : HEIGHT - size;
                  return <rect key={name} class={`s${s} ${colour}`} x={x} width={width} y={base} height={size} />;
                })}
              </g>
            );
          })}
        </svg>
      )}
      {!table && (
        <div class="axis dim"><span>{brief(from, zoneNow())}</span><span>{brief(end, zoneNow())}</span></div>
      )}
    </figure>
  );
}

function GroupTable(
  { points, label, condition, query }:
  { points: UsagePointJson[]; label: string; condition: string; query: URLSearchParams },
) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Usage by ${label.toLowerCase()}`}>
      <table>
        <thead>
          <tr>
            {[label, "Cost", "Tokens in", "Tokens out", "Spans", "Model calls", "Failed", "Median", "95 %"]
              .map((name) => <th key={name} scope="col">{name}</th>)}
          </tr>
        </thead>
        <tbody>
          {points.map((point) => {
            const figures = point.figures ?? {};
            const name = (point.group ?? []).filter(Boolean).join(" · ");
            const spans = Number(figures.spanCount ?? 0);
            const failed = Number(figures.errorCount ?? 0);
            return (
              <tr key={name}>
                <th scope="row">
                  {point.otherGroups ? <em>others</em> : !name ? <em class="dim">none</em>
                    : condition ? (
                      <button type="button" class="value" title="Only this"
                        onClick={() => setQuery(withCondition(query, condition, name))}><Sent text={name} /></button>
                    ) : <Sent text={name} />}
                </th>
                <td>{figures.costUsd === undefined ? "" : cost(Number(figures.costUsd))}</td>
                <td>{count(figures.inputTokens)}</td>
                <td>{count(figures.outputTokens)}</td>
                <td>{count(spans)}</td>
                <td>{count(figures.modelCallCount)}</td>
                <td class={failed ? "bad" : ""}>{failed > 0 && `${count(failed)} (${percent(failed / spans)})`}</td>
                <td>{duration(ms(point.durationP50))}</td>
                <td>{duration(ms(point.durationP95))}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
