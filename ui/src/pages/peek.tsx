/** A trace beside the list: what it was, how its chat begins, and what failed. */
import type { ListChatMessagesResponseJson } from "#api/chat_service_pb";
import type { TraceSummaryJson } from "#api/query_pb";
import type { GetTraceSummaryResponseJson } from "#api/query_service_pb";
import type { ListSpansResponseJson } from "#api/span_service_pb";
import { call, path, project, useLoad } from "../api";
import { Loads, Sent, stateOf, Status, Thumbs } from "../parts/small";
import { go, to } from "../place";
import { messagesPath } from "./chat";
import { Message } from "./message";
import { Facts } from "./trace_head";

export interface PeekProps {
  traceId: string;
  /** The trace as the list has it. */
  row: TraceSummaryJson | undefined;
  close: () => void;
}

const MESSAGES = 6;
const TEXT = 2_000;
const FAILED = 10;

export function Peek({ traceId, row, close }: PeekProps) {
  const key = `${project()}/${traceId}`;
  const summary = useLoad(row ? null : key, async (signal) => (
    await call<GetTraceSummaryResponseJson>(path`/v1/traces/${traceId}/summary`, {}, { signal })
  ).traceSummary ?? {});
  const href = (span?: string) =>
    to(["p", project(), "traces", traceId], span ? { span } : undefined);
  const head = (trace: TraceSummaryJson) => (
    <>
      <div class="head-line">
        <h2><Sent text={trace.name || "unnamed"} /></h2>
        <Status state={stateOf(trace)} always />
        <Thumbs reviews={trace.reviews} />
      </div>
      <Facts trace={trace} />
      {Number(trace.figures?.errorCount ?? 0) > 0 && <FailedSpans traceId={traceId} href={href} />}
    </>
  );
  return (
    <section class="peek" aria-label="Peek">
      <div class="bar">
        <a class="button" href={href()} title="Open the whole trace (Enter)">Open trace</a>
        <span class="grow" />
        <button type="button" class="small" title="Close (Escape)" onClick={close}>Close</button>
      </div>
      {row ? head(row) : <Loads of={summary} lines={3}>{head}</Loads>}
      <Beginning traceId={traceId} href={href} />
    </section>
  );
}

type Href = (span?: string) => string;

function FailedSpans({ traceId, href }: { traceId: string; href: Href }) {
  const found = useLoad(`${project()}/${traceId}`, (signal) => call<ListSpansResponseJson>(
    path`/v1/traces/${traceId}/spans`, {
      filter: { statusCode: "STATUS_CODE_ERROR" }, view: "SPAN_VIEW_BASIC", pageSize: FAILED,
    }, { signal }));
  return (
    <>
      <h3>Failed spans</h3>
      <Loads of={found} lines={1}>
        {({ spans = [], nextPageToken }) => (
          <ul class="plain">
            {spans.map((span) => (
              <li key={span.spanId}>
                <a href={href(span.spanId)}>✕ <Sent text={span.name || "unnamed"} /></a>{" "}
                <Sent text={span.status?.message || span.status?.errorType} />
              </li>
            ))}
            {nextPageToken && <li class="dim">More failed: open the trace.</li>}
          </ul>
        )}
      </Loads>
    </>
  );
}

function Beginning({ traceId, href }: { traceId: string; href: Href }) {
  const found = useLoad(`${project()}/${traceId}`, (signal) => call<ListChatMessagesResponseJson>(
    messagesPath({ traceId }), { pageSize: MESSAGES, textLimit: TEXT }, { signal }));
  return (
    <>
      <h3>Beginning of the chat</h3>
      <Loads of={found} lines={6}>
        {({ messages = [], nextPageToken }) => (
          <>
            <ol class="messages">
              {messages.map((message, at) => (
                <Message key={message.messageId} message={message} selected={false} reasoning={false}
                  select={(spanId) => go(href(spanId))}
                  sameAgent={at > 0 && messages[at - 1]!.agent?.name === message.agent?.name} />
              ))}
            </ol>
            {!messages.length && <p class="dim">No message was recorded.</p>}
            {nextPageToken && <p><a href={href()}>More messages in the whole trace</a></p>}
          </>
        )}
      </Loads>
    </>
  );
}
