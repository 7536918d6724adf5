/** What a trace was, on two lines, and what can be done with it. */
import { useState } from "preact/hooks";
import type { ChatMessageJson } from "#api/chat_pb";
import type { ListChatMessagesResponseJson } from "#api/chat_service_pb";
import type { TraceSummaryJson } from "#api/query_pb";
import type { ReviewTargetJson } from "#api/review_pb";
import { call, may, path, project, send } from "../api";
import type { Outline } from "../model/outline";
import { ago, cost, count, duration, ms, short } from "../model/format";
import { copy, save, say, Sent, stateOf, Status, Thumbs, Time } from "../parts/small";
import { go, ROOT, to } from "../place";
import { messagesPath } from "./chat";
import { transcript } from "./markdown";
import { judge, NoteForm } from "./reviews";
import { take } from "./traces";

interface Props {
  trace: TraceSummaryJson;
  outline: Outline | null;
  /** When a running trace changed last; null if it is not followed. */
  changedAt: number | null;
  onError: () => void;
  target: ReviewTargetJson;
  noteOpen: boolean;
  setNoteOpen: (open: boolean) => void;
  reload: () => void;
}

export async function copyLink(): Promise<void> {
  await copy(location.href, "link");
}

export function Head(props: Props) {
  const { trace, outline } = props;
  const state = stateOf(trace);
  const errors = Number(trace.figures?.errorCount ?? 0);
  return (
    <header class="trace-head">
      <div class="head-line">
        <h1><Sent text={trace.name || "unnamed"} /></h1>
        <Status state={state} always />
        {errors > 0 && (
          <button type="button" class="small bad" onClick={props.onError} title="Next error (e)">
            ✕ {count(errors)} error{errors > 1 ? "s" : ""} ▸
          </button>
        )}
        <Thumbs reviews={trace.reviews} />
        <span class="grow" />
        <Actions {...props} />
      </div>
      {trace.status?.message && <p class="bad error-text"><Sent text={trace.status.message} /></p>}
      <Facts trace={trace} outline={outline} />
      {state === "running" && (
        <p class="dim" role="status">
          {props.changedAt === null
            ? "This trace is not finished. It has not changed for a while: reload to look again."
            : `Running. The last change was seen ${ago(props.changedAt)}.`}
        </p>
      )}
      {props.noteOpen && (
        <NoteForm target={props.target} close={() => {
          props.setNoteOpen(false);
          props.reload();
        }} />
      )}
    </header>
  );
}

/** The figures of a trace, and links to traces with the same values. */
export function Facts({ trace, outline }: { trace: TraceSummaryJson; outline?: Outline | null }) {
  const figures = trace.figures ?? {};
  const state = stateOf(trace);
  const length = state === "running"
    ? Date.now() - Date.parse(trace.startTime ?? "") : ms(trace.duration);
  const calls = Number(figures.modelCallCount ?? 0);
  const priced = Number(figures.pricedModelCallCount ?? 0);
  const traces = (name: string, value: string) => to(["p", project(), "traces"], { [name]: value });
  return (
    <dl class="facts-list">
      <Fact name="start"><Time at={trace.startTime} full /></Fact>
      <Fact name={state === "running" ? "running for" : "duration"}>{duration(length)}</Fact>
      {figures.costUsd !== undefined && (
        <Fact name="cost">
          {trace.figuresAreLowerBounds && "≥"}{cost(Number(figures.costUsd))}
          {priced < calls && <span class="dim"> ({priced} of {calls} calls priced)</span>}
        </Fact>
      )}
      <Fact name="tokens">{short(figures.inputTokens)} in, {short(figures.outputTokens)} out</Fact>
      <Fact name="calls">
        {count(calls)} model, {count(figures.toolCallCount)} tool, {count(outline?.size ?? figures.spanCount)} spans
      </Fact>
      {Boolean(trace.models?.length) && (
        <Fact name="model">{trace.models!.map((model, at) => (
          <>{at > 0 && ", "}<a href={traces("model", model)}><Sent text={model} /></a></>
        ))}</Fact>
      )}
      {Boolean(trace.agentNames?.length) && (
        <Fact name="agent">{trace.agentNames!.map((agent, at) => (
          <>{at > 0 && ", "}<a href={traces("agent", agent)}><Sent text={agent} /></a></>
        ))}</Fact>
      )}
      {trace.user?.id && (
        <Fact name="user"><a href={traces("user", trace.user.id)}><Sent text={trace.user.name || trace.user.id} /></a></Fact>
      )}
      {trace.conversationId && trace.conversationId !== trace.traceId && (
        <Fact name="session">
          <a href={to(["p", project(), "sessions", trace.conversationId])}><Sent text={trace.conversationId} /></a>
        </Fact>
      )}
      {trace.feature && <Fact name="feature"><a href={traces("feature", trace.feature)}><Sent text={trace.feature} /></a></Fact>}
      {trace.experimentId && <Fact name="experiment"><a href={traces("experiment", trace.experimentId)}><Sent text={trace.experimentId} /></a></Fact>}
      <Fact name="trace"><code><Sent text={trace.traceId} /></code></Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

function Actions({ trace, target, setNoteOpen, reload }: Props) {
  const traceId = trace.traceId ?? "";
  const [busy, setBusy] = useState(false);
  const server = ROOT.href.slice(0, ROOT.href.lastIndexOf("/ui/"));
  const attempt = (work: () => Promise<void>) => async () => {
    setBusy(true);
    try {
      await work();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };
  const download = (what: string, from: string, suffix: string) => attempt(async () => {
    const response = await send(from, {});
    save(`${traceId}.${suffix}`, "application/json", [await response.blob()]);
    say(`${what} downloaded`);
  });
  const asMarkdown = attempt(async () => {
    const messages: ChatMessageJson[] = [];
    let pageToken: string | undefined;
    do {
      const page: ListChatMessagesResponseJson = await call(
        messagesPath({ traceId }), { pageSize: 1000, pageToken });
      messages.push(...(page.messages ?? []));
      pageToken = page.nextPageToken || undefined;
    } while (pageToken && messages.length < 2000);
    await copy(transcript(trace, messages, location.href, Boolean(pageToken)), "Markdown");
  });
  const remove = attempt(async () => {
    const typed = prompt(`This deletes the trace and all its spans. To confirm, type: ${trace.name}`);
    if (typed !== trace.name) return;
    await send(`${path`/v1/traces/${traceId}/spans`}`, {}, { method: "DELETE" });
    say("trace deleted");
    go(to(["p", project(), "traces"]));
  });
  const curl = `curl ${server}${path`/v1/traces/${traceId}`} -H "Authorization: Bearer $SPANLOOM_KEY"`;
  const grpcurl = `grpcurl -H "authorization: Bearer $SPANLOOM_KEY" -d ${
    quoted(JSON.stringify({ traceId }))} HOST:4317 spanloom.v1.QueryService/GetTraceSummary`;
  return (
    <div class="actions">
      {may("review") && (
        <>
          <button type="button" title="Good (+)" aria-label="Judge good"
            onClick={() => void judge(target, 1).then(reload)}>▲</button>
          <button type="button" title="Bad (-)" aria-label="Judge bad"
            onClick={() => void judge(target, 0).then(reload)}>▼</button>
          <button type="button" title="Note (m)" onClick={() => setNoteOpen(true)}>Note</button>
        </>
      )}
      <button type="button" title="Copy a link (y)" onClick={() => void copyLink()}>Copy link</button>
      <details class="menu">
        <summary class="button">More</summary>
        <div class="menu-list">
          <button type="button" disabled={busy} onClick={() => void asMarkdown()}>Copy as Markdown</button>
          <button type="button" onClick={() => void copy(curl, "curl command")}>Copy curl</button>
          <button type="button" onClick={() => void copy(grpcurl, "grpcurl command")}>Copy grpcurl</button>
          <button type="button" disabled={busy}
            onClick={() => void download("JSON", path`/v1/traces/${traceId}`, "json")()}>Download JSON</button>
          <button type="button" disabled={busy}
            onClick={() => void download("OTLP", `${path`/v1/traces/${traceId}`}:otlp`, "otlp.json")()}>Download OTLP</button>
          <button type="button" onClick={() => print()}>Print</button>
          <button type="button" onClick={() => take(traceId)}>Take for a comparison</button>
          {may("admin") && (
            <button type="button" class="bad" disabled={busy} onClick={() => void remove()}>Delete…</button>
          )}
        </div>
      </details>
    </div>
  );
}

/** A text as one argument of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
