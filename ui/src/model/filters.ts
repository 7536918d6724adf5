/** The conditions of the list of traces: in the address, and as the API has them. */
import type { TraceFilterJson } from "#api/query_pb";

/** Name in the address -> name in TraceFilter, and how its value is written. */
const TEXTS = {
  name: "name", feature: "feature", user: "userId", org: "organizationId", session: "conversationId",
  agent: "agentName", model: "model", env: "environment", experiment: "experimentId", text: "text",
} as const satisfies Record<string, keyof TraceFilterJson>;
const FLAGS = { error: "hasError", review: "hasReview", running: "running" } as const;

export const isFlag = (name: string) => name in FLAGS;

export const LABELS: Record<string, string> = {
  name: "name", feature: "feature", user: "user", org: "organization", session: "session",
  agent: "agent", model: "model", env: "environment", experiment: "experiment", text: "text",
  status: "status", origin: "origin", error: "has error", review: "has feedback",
  running: "running", min_ms: "min duration (ms)", min_cost: "min cost ($)",
  min_tokens: "min tokens", attr: "attribute",
};

export const RANGES: Record<string, number> = {
  "15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000,
};

/** A range of time: Unix milliseconds, either end may be open. */
export interface Range {
  from: number | null;
  to: number | null;
}

export function rangeOf(query: URLSearchParams, now: number, preset = "7d"): Range {
  const time = (name: string) => {
    const at = Date.parse(query.get(name) ?? "");
    return Number.isNaN(at) ? null : at;
  };
  if (query.has("from") || query.has("to")) return { from: time("from"), to: time("to") };
  const last = query.get("last") ?? preset;
  const seconds = RANGES[last];
  return { from: seconds ? now - seconds * 1000 : null, to: null };
}

/** The filter that an address describes. */
export function filterOf(query: URLSearchParams, now: number): TraceFilterJson {
  const filter: TraceFilterJson = {};
  const { from, to } = rangeOf(query, now);
  if (from !== null) filter.startTimeFrom = new Date(from).toISOString();
  if (to !== null) filter.startTimeBefore = new Date(to).toISOString();
  for (const [name, field] of Object.entries(TEXTS)) {
    const value = query.get(name);
    if (value) filter[field] = value;
  }
  for (const [name, field] of Object.entries(FLAGS)) {
    const value = query.get(name);
    if (value) filter[field] = value === "1";
  }
  const status = query.get("status");
  if (status === "error" || status === "ok") {
    filter.statusCode = status === "ok" ? "STATUS_CODE_OK" : "STATUS_CODE_ERROR";
  }
  const origins = query.getAll("origin");
  if (origins.length) filter.origins = origins as NonNullable<TraceFilterJson["origins"]>;
  const ms = Number(query.get("min_ms"));
  if (ms > 0) filter.minDuration = `${ms / 1000}s`;
  const cost = Number(query.get("min_cost"));
  if (cost > 0) filter.minCostUsd = cost;
  const tokens = Math.floor(Number(query.get("min_tokens")));
  if (tokens > 0) filter.minTokens = String(tokens);
  const attributes = query.getAll("attr").filter((pair) => pair.includes("="));
  if (attributes.length) filter.attributes = attributes;
  return filter;
}

/** The conditions of an address as chips: name and value, the range left out. */
export function chipsOf(query: URLSearchParams): [string, string][] {
  return [...query].filter(([name, value]) => name in LABELS && value !== "");
}

/** The address with one condition more (or with another value), and without a page's place. */
export function withCondition(query: URLSearchParams, name: string, value: string): URLSearchParams {
  const next = new URLSearchParams(query);
  if (name === "attr" || name === "origin") {
    if (!next.getAll(name).includes(value)) next.append(name, value);
  } else next.set(name, value);
  return next;
}

export function withoutCondition(
  query: URLSearchParams, name: string, value: string,
): URLSearchParams {
  const kept = [...query].filter(([key, text]) => key !== name || text !== value);
  return new URLSearchParams(kept);
}

/** Query parameters of a message in REST: `filter.name=...`, lists repeated. */
export function parameters(message: object, prefix = ""): [string, string][] {
  return Object.entries(message).flatMap(([key, value]: [string, unknown]): [string, string][] => {
    const name = prefix + key;
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((item) => [name, String(item)]);
    if (typeof value === "object") return parameters(value, `${name}.`);
    return [[name, String(value)]];
  });
}
