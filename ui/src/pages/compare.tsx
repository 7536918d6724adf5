/** Two traces, two experiments or two versions of a prompt, side by side. */
import { useState } from "preact/hooks";
import type { ChatMessageJson } from "#api/chat_pb";
import type { ListChatMessagesResponseJson } from "#api/chat_service_pb";
import type { TraceSummaryJson } from "#api/query_pb";
import type { GetTraceOutlineResponseJson, GetTraceSummaryResponseJson } from "#api/query_service_pb";
import { call, lines, path, project, useLoad } from "../api";
import { aligned } from "../model/messages";
import { Outline } from "../model/outline";
import { treeOf } from "../model/tree";
import { cost, count, duration, ms } from "../model/format";
import { Diff } from "../parts/diff";
import { Empty, Loads, Sent, stateOf, Status, title } from "../parts/small";
import { place, to } from "../place";
import { messagesPath } from "./chat";
import { CompareExperiments } from "./compare_experiments";
import { ComparePrompts } from "./compare_prompts";

const MOST_SPANS = 2000;

export function Compare() {
  const { query } = place.value;
  const [kindA, a] = split(query.get("a"));
  const [kindB, b] = split(query.get("b"));
  title("compare");
  if (kindA !== kindB || !a || !b) {
    return (
      <Empty>
        <h1>Compare</h1>
        <p>
          Take two traces in <a href={to(["p", project(), "traces"])}>the list</a> with the key{" "}
          <kbd>x</kbd>, and then "Compare"; or open an experiment or a prompt.
        </p>
      </Empty>
    );
  }
  if (kindA === "experiment") return <CompareExperiments a={a} b={b} />;
  if (kindA === "prompt") return <ComparePrompts a={a} b={b} />;
  return <CompareTraces a={a} b={b} />;
}

function split(text: string | null): [string, string] {
  const at = (text ?? "").indexOf(":");
  return at < 0 ? ["", ""] : [text!.slice(0, at), text!.slice(at + 1)];
}

interface Side {
  trace: TraceSummaryJson;
  steps: Step[];
  total: number;
  messages: ChatMessageJson[];
}

interface Step {
  id: string;
  path: string;
  name: string;
  depth: number;
  ms: number;
  cost: number;
  isError: boolean;
}

async function side(traceId: string, signal: AbortSignal): Promise<Side> {
  const [summary, page] = await Promise.all([
    call<GetTraceSummaryResponseJson>(path`/v1/traces/${traceId}/summary`, {}, { signal }),
    call<ListChatMessagesResponseJson>(messagesPath({ traceId }), { pageSize: 500, textLimit: 20_000 }, { signal }),
  ]);
  const outline = new Outline();
  for await (const part of lines<GetTraceOutlineResponseJson>(
    path`/v1/traces/${traceId}/outline`, {}, signal)) if (part.chunk) outline.add(part.chunk);
  const tree = treeOf(outline);
  const names: string[] = [];
  const steps = Array.from(tree.order.subarray(0, MOST_SPANS), (row, at): Step => {
    const depth = tree.depth[at]!;
    names.length = Math.min(names.length, depth);
    names.push(outline.nameOf(row));
    return {
      id: outline.ids[row]!, path: names.join("\u0000"), name: outline.nameOf(row), depth,
      ms: outline.duration[row]!, cost: Math.max(0, outline.cost[row]!), isError: outline.isError(row),
    };
  });
  return { trace: summary.traceSummary ?? {}, steps, total: outline.size, messages: page.messages ?? [] };
}

function CompareTraces({ a, b }: { a: string; b: string }) {
  const loaded = useLoad(`${project()} ${a} ${b}`, async (signal) => {
    const [left, right] = await Promise.all([side(a, signal), side(b, signal)]);
    return { left, right };
  });
  return (
    <Loads of={loaded} lines={14}>
      {({ left, right }) => (
        <div class="compare">
          <h1>Two traces</h1>
          <Facts left={left} right={right} a={a} b={b} />
          <h2>What was said</h2>
          <Messages left={left.messages} right={right.messages} />
          <h2>What was done</h2>
          <Steps left={left} right={right} a={a} b={b} />
        </div>
      )}
    </Loads>
  );
}

function delta(before: number, after: number, unit: (value: number) => string): string {
  if (before < 0 || after < 0 || before === after) return "";
  const sign = after > before ? "+" : "−";
  const share = before > 0 ? ` (${sign}${Math.round((Math.abs(after - before) / before) * 100)} %)` : "";
  return `${sign}${unit(Math.abs(after - before))}${share}`;
}

function Facts({ left, right, a, b }: { left: Side; right: Side; a: string; b: string }) {
  const rows: [string, (side: Side) => number, (value: number) => string][] = [
    ["Duration", ({ trace }) => ms(trace.duration), duration],
    ["Cost", ({ trace }) => Number(trace.figures?.costUsd ?? -1), cost],
    ["Tokens in", ({ trace }) => Number(trace.figures?.inputTokens ?? 0), count],
    ["Tokens out", ({ trace }) => Number(trace.figures?.outputTokens ?? 0), count],
    ["Spans", ({ total }) => total, count],
    ["Errors", ({ trace }) => Number(trace.figures?.errorCount ?? 0), count],
  ];
  const head = (id: string, { trace }: Side) => (
    <th scope="col"><a href={to(["p", project(), "traces", id])}><Sent text={trace.name || id} /></a>{" "}
      <Status state={stateOf(trace)} /></th>
  );
  return (
    <table>
      <thead><tr><td />{head(a, left)}{head(b, right)}<th scope="col">Change</th></tr></thead>
      <tbody>
        {rows.map(([name, of, unit]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{of(left) < 0 ? "" : unit(of(left))}</td>
            <td>{of(right) < 0 ? "" : unit(of(right))}</td>
            <td>{delta(of(left), of(right), unit)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What identifies a message for the comparison, and its text. */
function messageText(message: ChatMessageJson | null): [string, string] {
  if (!message) return ["", ""];
  const { user, response, toolCall, agentStart } = message;
  if (user) return ["User", user.text ?? ""];
  if (response) return ["Assistant", response.text ?? ""];
  if (toolCall) {
    const json = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value ?? null, null, 2);
    return [`Tool: ${toolCall.name}`, `${json(toolCall.arguments)}\n→ ${json(toolCall.result)}`];
  }
  if (agentStart) return [`Agent: ${message.agent?.name ?? ""}`, agentStart.systemInstructions ?? ""];
  return ["Other", ""];
}

function Messages({ left, right }: { left: ChatMessageJson[]; right: ChatMessageJson[] }) {
  const [all, setAll] = useState(false);
  const pairs = aligned(left, right, (message) => messageText(message)[0]);
  const shown = pairs.filter(({ a, b }) => all || messageText(a)[1] !== messageText(b)[1]);
  return (
    <>
      <p class="bar">
        <span class="dim">{shown.length} of {pairs.length} messages{all ? "" : " differ"}</span>
        <button type="button" class="small" onClick={() => setAll(!all)}>
          {all ? "Only differences" : "All messages"}
        </button>
      </p>
      <ol class="plain">
        {shown.map((pair, at) => (
          <li key={at} class="pair">
            <strong><Sent text={messageText(pair.a ?? pair.b)[0]} /></strong>
            {!pair.b && <span class="dim"> only in the first</span>}
            {!pair.a && <span class="dim"> only in the second</span>}
            <Diff a={messageText(pair.a)[1]} b={messageText(pair.b)[1]} />
          </li>
        ))}
      </ol>
    </>
  );
}

function Steps({ left, right, a, b }: { left: Side; right: Side; a: string; b: string }) {
  const rows = aligned(left.steps, right.steps, (step) => step.path);
  const cut = Math.max(left.total, right.total) > MOST_SPANS;
  return (
    <>
      {cut && <p class="dim">The first {count(MOST_SPANS)} spans of each.</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Spans side by side">
        <table class="steps">
          <thead><tr><th scope="col">Span</th><th scope="col">First</th><th scope="col">Second</th>
            <th scope="col">Change</th></tr></thead>
          <tbody>
            {rows.map(({ a: one, b: two }, at) => {
              const step = (one ?? two)!;
              const cell = (id: string, side: Step | null) => side ? (
                <a href={to(["p", project(), "traces", id], { span: side.id })}>
                  {side.ms < 0 ? "open" : duration(side.ms)}{side.isError && <span class="bad"> ✕ error</span>}
                </a>
              ) : <span class="dim">none</span>;
              return (
                <tr key={at} class={one && two ? "" : "lonely"}>
                  <th scope="row"><span class="indent" style={{ width: `${Math.min(step.depth, 20) * 12}px` }} /><Sent text={step.name || "unnamed"} /></th>
                  <td>{cell(a, one)}</td><td>{cell(b, two)}</td>
                  <td>{one && two && delta(one.ms, two.ms, duration)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </>
  );
}
