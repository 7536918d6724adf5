/** Small parts that all pages use. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ReviewCountsJson, TraceSummaryJson } from "#api/query_pb";
import type { ApiError, Loaded } from "../api";
import { absolute, ago, brief, cost, duration, hiddenCount, ms, revealed, short } from "../model/format";
import { reveal, zoneNow } from "../settings";

const said = signal("");

/** One polite region for all that changes by itself, and for what a key did. */
export function say(text: string): void {
  said.value = text;
}

export function Said() {
  useEffect(() => {
    if (!said.value) return;
    const timer = setTimeout(() => say(""), 4000);
    return () => clearTimeout(timer);
  }, [said.value]);
  return <div class={said.value ? "said" : "said quiet"} role="status">{said.value}</div>;
}

/** What somebody sent: isolated, so that its direction changes nothing around it. */
export function Sent({ text }: { text: string | undefined }) {
  if (!text) return null;
  return <bdi>{reveal.value ? revealed(text) : text}</bdi>;
}

export function Time({ at, full }: { at: string | undefined; full?: boolean }) {
  if (!at) return null;
  const words = absolute(at, zoneNow());
  const other = absolute(at, zoneNow() === "utc" ? "local" : "utc");
  return <time dateTime={at} title={`${words}\n${other}`}>{full ? words : brief(at, zoneNow())}</time>;
}

export function Ago({ at }: { at: string | undefined }) {
  if (!at) return null;
  return <time dateTime={at} title={absolute(at, zoneNow())}>{ago(at)}</time>;
}

export type State = "ok" | "error" | "running" | "unset";

export function stateOf(trace: TraceSummaryJson): State {
  if (trace.status?.code === "STATUS_CODE_ERROR") return "error";
  if (!trace.endTime) return "running";
  return trace.status?.code === "STATUS_CODE_OK" ? "ok" : "unset";
}

const WORDS: Record<State, string> = { ok: "ok", error: "error", running: "running", unset: "done" };

/** The status: a sign and, unless all is well, a word; never a colour alone. */
export function Status({ state, always }: { state: State; always?: boolean }) {
  const isWord = always || state === "error" || state === "running";
  return (
    <span class={`status ${state}`}>
      <span class="dot" aria-hidden="true" />
      {isWord ? WORDS[state] : <span class="unseen">{WORDS[state]}</span>}
    </span>
  );
}

export function Thumbs({ reviews }: { reviews: ReviewCountsJson | undefined }) {
  const good = Number(reviews?.positive ?? 0);
  const bad = Number(reviews?.negative ?? 0);
  const other = Number(reviews?.total ?? 0) - good - bad;
  return (
    <span class="thumbs">
      {good > 0 && <span class="good" title={`${good} good`}>▲{good}</span>}
      {bad > 0 && <span class="bad" title={`${bad} bad`}>▼{bad}</span>}
      {other > 0 && <span title={`${other} notes`}>✎{other}</span>}
    </span>
  );
}

export const Duration = ({ text }: { text: string | undefined }) => <>{duration(ms(text))}</>;
export const Cost = ({ usd }: { usd: number | "NaN" | "Infinity" | "-Infinity" | undefined }) =>
  <>{cost(usd === undefined ? undefined : Number(usd))}</>;

export function Tokens({ input, output }: { input?: string; output?: string }) {
  if (!Number(input ?? 0) && !Number(output ?? 0)) return null;
  return <span title="input and output tokens">{short(input)} <span class="dim">/</span> {short(output)}</span>;
}

/** The states of something that loads: data, nothing yet, or an error with a way on. */
export function Loads<T>(
  { of, children, lines = 8 }:
  { of: Loaded<T>; children: (data: T) => ComponentChildren; lines?: number },
) {
  if (of.error && of.data === null) return <Failed error={of.error} retry={of.reload} />;
  if (of.data === null) return <Waiting lines={lines} />;
  return (
    <>
      {of.error && <Failed error={of.error} retry={of.reload} />}
      {children(of.data)}
    </>
  );
}

export function Waiting({ lines }: { lines: number }) {
  return (
    <div class="waiting" aria-busy="true">
      <span class="unseen">Loading</span>
      {Array.from({ length: lines }, (_, at) => <div key={at} class="bone" aria-hidden="true" />)}
    </div>
  );
}

export function Failed({ error, retry }: { error: ApiError; retry: () => void }) {
  const [left, setLeft] = useState(error.retryAfter);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return (
    <div class="failed" role="alert">
      <p>{error.message}</p>
      <p class="dim">
        {error.reason && <code>{error.reason}</code>}
        {error.requestId && <> request <code>{error.requestId}</code></>}
      </p>
      <button type="button" onClick={retry} disabled={left > 0}>
        {left > 0 ? `Try again in ${left} s` : "Try again"}
      </button>
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    // Without https, browsers have no clipboard.
    prompt(`Copy the ${what}:`, text);
  }
}

export function CopyButton({ text, what }: { text: () => string; what: string }) {
  return (
    <button type="button" class="small" onClick={() => void copy(text(), what)}>
      Copy {what}
    </button>
  );
}

/** Saves a text as a file. */
export function save(name: string, type: string, parts: BlobPart[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name.replace(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function Hidden({ text }: { text: string }) {
  const number = hiddenCount(text);
  if (!number) return null;
  return (
    <button type="button" class="small warn" onClick={() => { reveal.value = !reveal.value; }}>
      {reveal.value ? "hide" : "show"} {number} invisible character{number > 1 ? "s" : ""}
    </button>
  );
}

export function title(...parts: (string | undefined)[]): void {
  document.title = [...parts.filter(Boolean), "Spanloom"].join(" · ");
}
