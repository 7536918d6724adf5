/** One message of a chat as a card. */
import type { ChatMessageJson } from "#api/chat_pb";
import type { MediaJson, TextCutJson } from "#api/span_pb";
import { useEffect, useState } from "preact/hooks";
import { attachmentAddress, project } from "../api";
import { cost, duration, ms, short } from "../model/format";
import { type Attachment, attachmentOf } from "../model/messages";
import { Sent, Time } from "../parts/small";
import { JsonView, Text } from "../parts/text";
import { to } from "../place";

interface Props {
  message: ChatMessageJson;
  selected: boolean;
  reasoning: boolean;
  select: (spanId: string, traceId: string) => void;
  turnOf?: string;
  /** Whether the message before is of the same agent. */
  sameAgent: boolean;
}

export function Message({ message, selected, reasoning, select, turnOf, sameAgent }: Props) {
  const isFailed = message.status?.code === "STATUS_CODE_ERROR";
  const spanId = message.spanId ?? "";
  const traceId = message.traceId ?? "";
  const [kind, who] = speaker(message);
  const length = ms(message.duration);
  const model = message.response?.model;
  const tokens = Number(model?.inputTokens ?? 0) + Number(model?.outputTokens ?? 0);
  const facts = [
    model?.responseModel || model?.requestModel,
    tokens ? `${short(model?.inputTokens)} / ${short(model?.outputTokens)} tokens` : "",
    model?.costUsd === undefined ? "" : cost(Number(model.costUsd)),
    length >= 0 ? duration(length) : "",
  ].filter(Boolean);
  return (
    <li class={`message ${kind}${selected ? " active" : ""}${isFailed ? " failed-row" : ""}`}
      data-span={spanId}>
      {turnOf && (
        <p class="turn">
          <a href={to(["p", project(), "traces", turnOf])}>Trace</a> <Time at={message.startTime} />
        </p>
      )}
      <div class="message-head">
        <button type="button" class="who" onClick={() => select(spanId, traceId)}
          title="Show the span" aria-pressed={selected}>
          <Sent text={who} />
        </button>
        {message.agent?.name && !sameAgent && kind !== "agent" && kind !== "user" && (
          <span class="dim"><Sent text={message.agent.name} /></span>
        )}
        <span class="grow" />
        <span class="dim facts">{facts.join(" · ")}</span>
        {Number(message.reviewCount ?? 0) > 0 && <span title="feedback">✎{message.reviewCount}</span>}
      </div>
      <Body message={message} reasoning={reasoning} />
      {isFailed && (
        <p class="bad error-text">
          ✕ <Sent text={message.status?.message || message.status?.errorType || "failed"} />
        </p>
      )}
    </li>
  );
}

function speaker(message: ChatMessageJson): [string, string] {
  if (message.user) return ["user", "User"];
  if (message.response) return ["assistant", "Assistant"];
  if (message.toolCall) return ["tool", `Tool: ${message.toolCall.name ?? ""}`];
  if (message.agentStart) return ["agent", `Agent: ${message.agent?.name ?? ""}`];
  if (message.handoff) return ["agent", "Handoff"];
  if (message.compaction) return ["agent", "Compaction"];
  return ["agent", "Message"];
}

function Body({ message, reasoning }: { message: ChatMessageJson; reasoning: boolean }) {
  const where = { traceId: message.traceId ?? "", spanId: message.spanId ?? "" };
  const cut = (field: string): TextCutJson | undefined =>
    message.textCuts?.find((one) => one.field === field);
  const { user, response, toolCall, agentStart, handoff, compaction } = message;
  if (user) {
    return (
      <>
        {user.text && <Text text={user.text} cut={cut("user.text")} where={where} />}
        <MediaList media={user.media} />
      </>
    );
  }
  if (response) {
    return (
      <>
        {reasoning && response.reasoning && (
          <Folded summary="Reasoning" hint={firstLine(response.reasoning)}>
            {() => <Text text={response.reasoning!} cut={cut("response.reasoning")} where={where} />}
          </Folded>
        )}
        {response.text && <Text text={response.text} cut={cut("response.text")} where={where} />}
        <MediaList media={response.media} />
      </>
    );
  }
  if (toolCall) {
    const cuts = message.textCuts;
    const inside = (name: string) => cuts?.filter((one) => one.field?.startsWith(name))
      .map((one) => ({ ...one, field: one.field!.slice(name.length) }));
    return (
      <>
        <Folded summary={`(${oneLine(toolCall.arguments)})`}
          hint={toolCall.result === undefined
            ? toolCall.executed ? "" : "requested" : `→ ${oneLine(toolCall.result)}`}>
          {() => (
            <>
              <h3>Arguments</h3>
              <JsonView value={toolCall.arguments ?? null} cuts={inside("tool_call.arguments")} where={where} />
              <h3>Result</h3>
              {toolCall.result === undefined ? <p class="dim">not recorded</p>
                : <JsonView value={toolCall.result} cuts={inside("tool_call.result")} where={where} />}
            </>
          )}
        </Folded>
        <MediaList media={toolCall.media} />
      </>
    );
  }
  if (agentStart) {
    return (
      <>
        {agentStart.systemInstructions && (
          <Folded summary="System prompt" hint={firstLine(agentStart.systemInstructions)}>
            {() => <Text text={agentStart.systemInstructions!}
              cut={cut("agent_start.system_instructions")} where={where} />}
          </Folded>
        )}
        {agentStart.toolDefinitions !== undefined && (
          <Folded summary="Tools" hint={toolNames(agentStart.toolDefinitions)}>
            {() => <JsonView value={agentStart.toolDefinitions} />}
          </Folded>
        )}
      </>
    );
  }
  if (handoff) return <p><Sent text={handoff.fromAgent} /> → <Sent text={handoff.toAgent} /></p>;
  if (compaction) {
    return (
      <>
        <p class="dim">{compaction.itemsBefore} → {compaction.itemsAfter} items</p>
        {compaction.summary && <Text text={compaction.summary} cut={cut("compaction.summary")} where={where} />}
      </>
    );
  }
  return <p class="dim">This page does not know this kind of message.</p>;
}

export function Folded(
  { summary, hint, children, isOpen = false }:
  { summary: string; hint?: string; children: () => preact.ComponentChildren; isOpen?: boolean },
) {
  const [open, setOpen] = useState(isOpen);
  return (
    <details class="folded" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <Sent text={summary} /> {hint && !open && <span class="dim"><Sent text={hint} /></span>}
      </summary>
      {open && children()}
    </details>
  );
}

const firstLine = (text: string) => text.trimStart().split("\n", 1)[0]!.slice(0, 120);

/** A value on one line, shortened. */
export function oneLine(value: unknown, most = 100): string {
  if (value === undefined || value === null) return "";
  let text: string;
  if (typeof value === "string") text = value;
  else if (typeof value === "object" && !Array.isArray(value)) {
    text = Object.entries(value as object).map(([key, inner]) => `${key}=${JSON.stringify(inner)}`)
      .join(", ");
  } else text = JSON.stringify(value);
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

function toolNames(tools: unknown): string {
  if (!Array.isArray(tools)) return "";
  return tools.map((tool: { name?: unknown; function?: { name?: unknown } }) =>
    String(tool?.name ?? tool?.function?.name ?? "?")).join(", ").slice(0, 120);
}

const SHOWN = /^image\/(png|jpeg|gif|webp)$/;

/** Media: images that the span contains are drawn, others are named; nothing is fetched from other
 * hosts. */
export function MediaList({ media }: { media: readonly MediaJson[] | undefined }) {
  if (!media?.length) return null;
  return <div class="media">{media.map((one, at) => <MediaView key={at} media={one} />)}</div>;
}

function AttachmentView({ attachment }: { attachment: Attachment }) {
  const [isLost, setLost] = useState(false);
  const { digest, type, size } = attachment;
  const address = attachmentAddress(digest);
  if (SHOWN.test(type) && !isLost) {
    return <img src={address} alt={`sent as ${type}`} loading="lazy" onError={() => setLost(true)} />;
  }
  return (
    <a class="medium" href={address} download={digest}>
      <code><Sent text={type} /></code> {short(size)} bytes
    </a>
  );
}

function MediaView({ media }: { media: MediaJson }) {
  const [address, setAddress] = useState("");
  const isImage = media.data !== undefined && SHOWN.test(media.mimeType ?? "");
  useEffect(() => {
    if (!isImage) return;
    const bytes = Uint8Array.from(atob(media.data!), (c) => c.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type: media.mimeType }));
    setAddress(url);
    return () => URL.revokeObjectURL(url);
  }, [media.data]);
  const attachment = attachmentOf(media.uri ?? "");
  if (attachment) return <AttachmentView attachment={attachment} />;
  if (address) return <img src={address} alt={`sent as ${media.mimeType}`} />;
  return (
    <span class="medium">
      {media.modality || "media"} <code>{media.mimeType}</code> <Sent text={media.uri ?? media.fileId} />
    </span>
  );
}
