/** A chat as Markdown, for an issue or a colleague. */
import type { ChatMessageJson } from "#api/chat_pb";
import type { TraceSummaryJson } from "#api/query_pb";
import { cost, duration, ms } from "../model/format";

export function transcript(
  trace: TraceSummaryJson, messages: readonly ChatMessageJson[], link: string, isCut: boolean,
): string {
  const facts = [trace.startTime, duration(ms(trace.duration)),
    trace.figures?.costUsd === undefined ? "" : cost(Number(trace.figures.costUsd))];
  const parts = [`# ${trace.name || "unnamed"}`, facts.filter(Boolean).join(" · "), link];
  for (const message of messages) {
    const { user, response, toolCall, agentStart, handoff } = message;
    if (user) parts.push(`## User\n\n${user.text ?? ""}`);
    else if (response) parts.push(`## Assistant\n\n${response.text ?? ""}`);
    else if (toolCall) {
      parts.push(`### Tool: ${toolCall.name}\n\n${fenced(toolCall.arguments)}\n\n${fenced(toolCall.result)}`);
    } else if (agentStart) parts.push(`### Agent: ${message.agent?.name ?? ""}`);
    else if (handoff) parts.push(`### Handoff: ${handoff.fromAgent} → ${handoff.toAgent}`);
    if (message.status?.code === "STATUS_CODE_ERROR") {
      parts.push(`**Error:** ${message.status.message ?? ""}`);
    }
  }
  if (isCut) parts.push(`(The first ${messages.length} messages.)`);
  return `${parts.join("\n\n")}\n`;
}

/** A value as a code block whose fence is longer than any in it. */
function fenced(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value ?? null, null, 2);
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}
