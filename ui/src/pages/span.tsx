/** One span: what went in and came out, attributes, events, feedback, and the raw record. */
import { useMemo, useState } from "preact/hooks";
import type { AttributeValueJson, ModelMessageJson, SpanJson, TextCutJson } from "#api/span_pb";
import type { GetSpanResponseJson } from "#api/span_service_pb";
import { call, path, project, useLoad } from "../api";
import { commonStart, stable } from "../model/messages";
import { KIND_MODEL, type Outline } from "../model/outline";
import { previousCall } from "../model/tree";
import { cost, count, duration, ms } from "../model/format";
import { copy, CopyButton, Loads, Sent, Time } from "../parts/small";
import { JsonView, Text, type Where } from "../parts/text";
import { change, place, ROOT, to } from "../place";
import { Folded, MediaList, oneLine } from "./message";
import { Reviews } from "./reviews";

const TABS: [string, string][] = [
  ["io", "Input, output"], ["attributes", "Attributes"], ["events", "Events"],
  ["feedback", "Feedback"], ["raw", "Raw"],
];
const TEXT = 65_536;

interface Props {
  traceId: string;
  spanId: string;
  outline: Outline | null;
  version: number;
  select: (spanId: string) => void;
}

const read = (traceId: string, spanId: string, signal: AbortSignal) => call<GetSpanResponseJson>(
  path`/v1/traces/${traceId}/spans/${spanId}`, { textLimit: TEXT }, { signal });

export function SpanView({ traceId, spanId, outline, version, select }: Props) {
  const loaded = useLoad(`${project()} ${traceId} ${spanId} ${version}`,
    async (signal) => (await read(traceId, spanId, signal)).span ?? {});
  const tab = place.value.query.get("tab") ?? "io";
  const row = outline?.rowOf(spanId) ?? -1;
  const parent = row >= 0 ? outline!.parent[row]! : -1;
  return (
    <Loads of={loaded}>
      {(span) => (
        <div class="span">
          <div class="span-head">
            <h2><Sent text={span.name || "unnamed"} /></h2>
            <p class="dim facts">{facts(span)}</p>
            {span.status?.code === "STATUS_CODE_ERROR" && (
              <p class="bad error-text">
                ✕ {span.status.errorType && <><code><Sent text={span.status.errorType} /></code> </>}
                <Sent text={span.status.message || "failed"} />
              </p>
            )}
            <p class="dim">
              <Time at={span.startTime} full />
              {parent >= 0 && (
                <> in <button type="button" class="value" onClick={() => select(outline!.ids[parent]!)}>
                  <Sent text={outline!.nameOf(parent) || "unnamed"} /></button></>
              )}
            </p>
          </div>
          <div class="tabs" role="tablist" aria-label="Parts of the span">
            {TABS.map(([name, label]) => (
              <button key={name} type="button" role="tab" id={`tab-${name}`} aria-controls="tab-panel"
                aria-selected={tab === name} tabIndex={tab === name ? 0 : -1}
                onClick={() => change({ tab: name === "io" ? null : name })}
                onKeyDown={(e) => {
                  const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
                  if (!step) return;
                  e.preventDefault();
                  e.stopPropagation();
                  const at = TABS.findIndex(([one]) => one === name);
                  const next = TABS[(at + step + TABS.length) % TABS.length]![0];
                  change({ tab: next === "io" ? null : next });
                  document.getElementById(`tab-${next}`)?.focus();
                }}>{label}{badge(span, name)}</button>
            ))}
          </div>
          <div role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`} class="tab-panel" tabIndex={0}>
            {tab === "io" && <InputOutput span={span} outline={outline} row={row} />}
            {tab === "attributes" && <Attributes span={span} />}
            {tab === "events" && <Events span={span} select={select} />}
            {tab === "feedback" && <Reviews target={{ traceId, spanId }} />}
            {tab === "raw" && <Raw span={span} />}
          </div>
        </div>
      )}
    </Loads>
  );
}

function badge(span: SpanJson, tab: string): string {
  const number = tab === "events" ? (span.events?.length ?? 0) + (span.links?.length ?? 0) : 0;
  return number ? ` ${number}` : "";
}

function facts(span: SpanJson): string {
  const model = span.model;
  return [
    (span.kind ?? "").replace("SPAN_KIND_", "").toLowerCase(),
    span.agent?.name, model?.responseModel || model?.requestModel,
    model?.inputTokens && `${count(model.inputTokens)} in, ${count(model.outputTokens)} out`,
    Number(model?.cacheReadTokens ?? 0) && `${count(model?.cacheReadTokens)} from cache`,
    Number(model?.reasoningTokens ?? 0) && `${count(model?.reasoningTokens)} reasoning`,
    model?.costUsd !== undefined && cost(Number(model.costUsd)),
    span.endTime ? duration(ms(span.duration)) : "open",
  ].filter(Boolean).join(" · ");
}

/** The cuts of a field, with paths below it. */
function inside(span: SpanJson, name: string): TextCutJson[] {
  return (span.textCuts ?? []).filter((one) => one.field === name || one.field?.startsWith(`${name}.`))
    .map((one) => ({ ...one, field: one.field!.slice(name.length) }));
}

function InputOutput({ span, outline, row }: { span: SpanJson; outline: Outline | null; row: number }) {
  const where = { traceId: span.traceId ?? "", spanId: span.spanId ?? "" };
  const messages = span.inputMessages ?? [];
  const answers = span.outputMessages ?? [];
  const nothing = !messages.length && !answers.length && span.input === undefined
    && span.output === undefined && !span.systemInstructions;
  return (
    <>
      {span.systemInstructions && (
        <Folded summary="System prompt" hint={oneLine(span.systemInstructions)}>
          {() => <Text text={span.systemInstructions!} where={where}
            cut={span.textCuts?.find((one) => one.field === "system_instructions")} />}
        </Folded>
      )}
      {span.toolDefinitions !== undefined && (
        <Folded summary="Tool definitions" hint={oneLine(span.toolDefinitions)}>
          {() => <JsonView value={span.toolDefinitions} cuts={inside(span, "tool_definitions")} where={where} />}
        </Folded>
      )}
      {messages.length > 0 ? (
        <>
          <h3>Input</h3>
          <Seen span={span} outline={outline} row={row} where={where} />
        </>
      ) : span.input !== undefined && (
        <>
          <h3>Input <CopyButton what="input" text={() => asText(span.input)} /></h3>
          <JsonView value={span.input} cuts={inside(span, "input")} where={where} />
        </>
      )}
      {answers.length > 0 ? (
        <>
          <h3>Output</h3>
          <ModelMessages messages={answers} span={span} field="output_messages" from={0} where={where} />
        </>
      ) : span.output !== undefined && (
        <>
          <h3>Output <CopyButton what="output" text={() => asText(span.output)} /></h3>
          <JsonView value={span.output} cuts={inside(span, "output")} where={where} />
        </>
      )}
      {span.expectedOutput !== undefined && (
        <>
          <h3>Expected output</h3>
          <JsonView value={span.expectedOutput} cuts={inside(span, "expected_output")} where={where} />
        </>
      )}
      {nothing && <p class="dim">No input and no output was recorded.</p>}
    </>
  );
}

const asText = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value, null, 2);

/** The messages that a model was given; those of its agent's call before are folded. */
function Seen(
  { span, outline, row, where }:
  { span: SpanJson; outline: Outline | null; row: number; where: Where },
) {
  const before = outline && row >= 0 && outline.kind[row] === KIND_MODEL ? previousCall(outline, row) : -1;
  const previousId = before >= 0 ? outline!.ids[before]! : null;
  const previous = useLoad(previousId && `${where.traceId} ${previousId}`,
    async (signal) => (await read(where.traceId, previousId!, signal)).span ?? {});
  const messages = span.inputMessages ?? [];
  const known = useMemo(() => {
    const old = previous.data;
    if (!old) return 0;
    return commonStart([...(old.inputMessages ?? []), ...(old.outputMessages ?? [])].map(plain),
      messages.map(plain));
  }, [previous.data, span]);
  return (
    <>
      {known > 0 && (
        <Folded summary={`${known} message${known > 1 ? "s" : ""} as in the previous call`} hint="">
          {() => <ModelMessages messages={messages.slice(0, known)} span={span} field="input_messages"
            from={0} where={where} />}
        </Folded>
      )}
      {known > 0 && <p class="new-mark">{messages.length - known} new in this call</p>}
      <ModelMessages messages={messages.slice(known)} span={span} field="input_messages" from={known}
        where={where} />
    </>
  );
}

/** What of a message counts in a comparison: an answer has a reason to stop, as context it has none. */
function plain(message: ModelMessageJson): unknown {
  return { role: message.role, parts: (message.parts ?? []).filter((part) => part.reasoning === undefined) };
}

function ModelMessages(
  { messages, span, field, from, where }:
  { messages: readonly ModelMessageJson[]; span: SpanJson; field: string; from: number; where: Where },
) {
  return (
    <ol class="messages">
      {messages.map((message, at) => {
        const name = `${field}.${from + at}`;
        return (
          <li key={at} class={`message ${roleClass(message.role)}`}>
            <div class="message-head"><strong><Sent text={message.role} /></strong>
              <span class="dim"><Sent text={message.name} /></span><span class="grow" />
              <span class="dim"><Sent text={message.finishReason} /></span></div>
            {(message.parts ?? []).map((part, index) => {
              const inner = `${name}.parts.${index}`;
              const cut = (key: string) => span.textCuts?.find((one) => one.field === `${inner}.${key}`);
              if (part.text !== undefined) return <Text key={index} text={part.text} cut={cut("text")} where={where} />;
              if (part.reasoning !== undefined) {
                return <Folded key={index} summary="Reasoning" hint={oneLine(part.reasoning)}>
                  {() => <Text text={part.reasoning!} cut={cut("reasoning")} where={where} />}</Folded>;
              }
              if (part.toolRequest) {
                return <Folded key={index} summary={`→ ${part.toolRequest.name}`}
                  hint={oneLine(part.toolRequest.arguments)}>
                  {() => <JsonView value={part.toolRequest!.arguments ?? null}
                    cuts={inside(span, `${inner}.tool_request.arguments`)} where={where} />}</Folded>;
              }
              if (part.toolResponse) {
                return <Folded key={index} summary={`← ${part.toolResponse.name ?? "result"}`}
                  hint={oneLine(part.toolResponse.result)}>
                  {() => <JsonView value={part.toolResponse!.result ?? null}
                    cuts={inside(span, `${inner}.tool_response.result`)} where={where} />}</Folded>;
              }
              if (part.media) return <MediaList key={index} media={[part.media]} />;
              return <JsonView key={index} value={part.other ?? null} cuts={inside(span, `${inner}.other`)} where={where} />;
            })}
          </li>
        );
      })}
    </ol>
  );
}

function roleClass(role: string | undefined): string {
  return role === "user" || role === "assistant" || role === "tool" ? role : "agent";
}

/** An attribute as JSON: integers keep all their digits, as a text. */
export function plainValue(value: AttributeValueJson | undefined): unknown {
  if (!value) return null;
  if (value.listValue) return (value.listValue.values ?? []).map(plainValue);
  if (value.mapValue) {
    return Object.fromEntries(Object.entries(value.mapValue.fields ?? {})
      .map(([key, inner]) => [key, plainValue(inner)]));
  }
  return value.stringValue ?? value.intValue ?? value.doubleValue ?? value.boolValue
    ?? value.bytesValue ?? null;
}

function Attributes({ span }: { span: SpanJson }) {
  const [text, setText] = useState("");
  const where = { traceId: span.traceId ?? "", spanId: span.spanId ?? "" };
  const groups: [string, string, Record<string, unknown>][] = [
    ["Attributes", "attributes", mapped(span.attributes)],
    ["Resource", "resource", mapped(span.resource)],
    ["Metadata", "metadata", span.metadata ?? {}], ["Metrics", "metrics", span.metrics ?? {}],
    ["Configuration", "config", span.config ?? {}],
  ];
  const wanted = text.toLowerCase();
  const isWanted = ([key, value]: [string, unknown]) =>
    !wanted || key.toLowerCase().includes(wanted) || stable(value).toLowerCase().includes(wanted);
  return (
    <>
      <input type="search" placeholder="Filter names and values" aria-label="Filter names and values"
        value={text} onInput={(e) => setText(e.currentTarget.value)} />
      {groups.map(([label, field, values]) => {
        const entries = Object.entries(values).filter(isWanted).sort(([a], [b]) => (a < b ? -1 : 1));
        if (!entries.length) return null;
        return (
          <section key={field}>
            <h3>{label}</h3>
            <dl class="attributes">
              {entries.map(([key, value]) => {
                const isPlain = typeof value !== "object" && String(value).length < 500;
                const at = `${field}.${/[.`]/.test(key) ? `\`${key.replaceAll("`", "``")}\`` : key}`;
                const cuts = [...inside(span, at),
                  ...inside(span, `${at}.string_value`)];
                return (
                  <div key={key}>
                    <dt><bdi>{key}</bdi></dt>
                    <dd>
                      <JsonView value={value} depth={isPlain ? 1 : 0} cuts={cuts} where={where} />
                      <span class="row-actions">
                        {isPlain && (field === "attributes" || field === "metadata") && (
                          <a class="small" href={to(["p", project(), "traces"],
                            { attr: `${key}=${String(value)}` })}>filter</a>
                        )}
                        <button type="button" class="small" onClick={() => void copy(asText(value), "value")}>copy</button>
                      </span>
                    </dd>
                  </div>
                );
              })}
            </dl>
          </section>
        );
      })}
      {span.scope?.name && <p class="dim">Recorded by <Sent text={span.scope.name} /> <Sent text={span.scope.version} /></p>}
    </>
  );
}

function mapped(values: Record<string, AttributeValueJson> | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values ?? {}).map(([key, value]) => [key, plainValue(value)]));
}

function Events({ span, select }: { span: SpanJson; select: (id: string) => void }) {
  const events = span.events ?? [];
  const links = span.links ?? [];
  if (!events.length && !links.length) return <p class="dim">No events and no links were recorded.</p>;
  return (
    <>
      {events.map((event, at) => (
        <section key={at}>
          <h3><Sent text={event.name} /> <span class="dim"><Time at={event.time} full /></span></h3>
          <JsonView value={mapped(event.attributes)} />
        </section>
      ))}
      {links.map((link, at) => (
        <p key={at}>
          link to {link.traceId === span.traceId
            ? <button type="button" class="value" onClick={() => select(link.spanId!)}>{link.spanId}</button>
            : <a href={to(["p", project(), "traces", link.traceId!], { span: link.spanId! })}>{link.traceId}</a>}
        </p>
      ))}
    </>
  );
}

function Raw({ span }: { span: SpanJson }) {
  const server = ROOT.href.slice(0, ROOT.href.lastIndexOf("/ui/"));
  const address = path`/v1/traces/${span.traceId!}/spans/${span.spanId!}`;
  const text = JSON.stringify(span, null, 2);
  return (
    <>
      <p>
        <CopyButton what="JSON" text={() => text} />{" "}
        <CopyButton what="curl" text={() => `curl ${server}${address} -H "Authorization: Bearer $SPANLOOM_KEY"`} />
      </p>
      <p class="dim">
        The span as the API gives it. "Download OTLP" in the menu of the trace has what was received
        by OpenTelemetry, exactly.
      </p>
      <pre class="raw">{text}</pre>
    </>
  );
}
