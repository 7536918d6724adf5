/** One trace as one line. */
import type { ComponentChildren } from "preact";
import type { TraceSummaryJson } from "#api/query_pb";
import type { Column } from "../model/columns";
import { duration, ms, short } from "../model/format";
import { Ago, Cost, Duration, Sent, stateOf, Status, Thumbs, Tokens } from "../parts/small";
import { taken } from "./traces";

interface Props {
  trace: TraceSummaryJson;
  index: number;
  columns: readonly Column[];
  isActive: boolean;
  href: string;
  only: (name: string, value: string) => void;
  activate: (index: number) => void;
}

export function TraceRow(props: Props) {
  const { trace, index, columns, isActive } = props;
  const isTaken = taken.value.includes(trace.traceId ?? "");
  return (
    <div role="row" id={`row-${index}`} aria-rowindex={index + 2} aria-selected={isActive}
      class={`trace-row${isActive ? " active" : ""}${isTaken ? " taken" : ""}`}
      onClick={() => props.activate(index)}>
      {columns.map(({ name }) => {
        const { title, content } = CELLS[name]!(props);
        return (
          <span key={name} role="gridcell" class={`c-${name}`} title={title}>{content}</span>
        );
      })}
    </div>
  );
}

interface Cell {
  content: ComponentChildren;
  title?: string;
}

/** A value that filters the list by itself. */
function Value({ of, name, value, text = value }: {
  of: Props; name: string; value: string | undefined; text?: string;
}) {
  if (!value) return null;
  return (
    <button type="button" class="value" tabIndex={-1} title={`Only ${text}`}
      onClick={() => of.only(name, value)}><Sent text={text} /></button>
  );
}

/** The first of some values, and how many more there are. */
function First({ of, name, values = [] }: { of: Props; name: string; values?: string[] }) {
  return (
    <>
      <Value of={of} name={name} value={values[0]} />
      {values.length > 1 && (
        <span class="dim" title={values.join(", ")}> +{values.length - 1}</span>
      )}
    </>
  );
}

const CELLS: Record<string, (of: Props) => Cell> = {
  status: ({ trace }) => ({ content: <Status state={stateOf(trace)} /> }),
  start: ({ trace }) => ({ content: <Ago at={trace.startTime} /> }),
  name: ({ trace, href }) => ({
    content: <a href={href} tabIndex={-1}><Sent text={trace.name || "unnamed"} /></a>,
  }),
  said: ({ trace }) => ({
    title: `${trace.inputPreview ?? ""}\n→ ${trace.outputPreview ?? ""}`,
    content: (
      <>
        <Sent text={trace.inputPreview} />
        {trace.outputPreview && <span class="dim"> → <Sent text={trace.outputPreview} /></span>}
      </>
    ),
  }),
  model: (of) => ({ content: <First of={of} name="model" values={of.trace.models} /> }),
  time: ({ trace }) => {
    const length = ms(trace.duration);
    const width = Math.min(100, Math.sqrt(Math.max(0, length) / 60_000) * 100);
    return {
      content: (
        <>
          <span class="length" style={{ width: `${width}%` }} />
          <span title={duration(length)}><Duration text={trace.duration} /></span>
        </>
      ),
    };
  },
  tokens: ({ trace: { figures } }) => ({
    content: <Tokens input={figures?.inputTokens} output={figures?.outputTokens} />,
  }),
  cost: ({ trace }) => ({ content: <Cost usd={trace.figures?.costUsd} /> }),
  spans: ({ trace }) => {
    const errors = Number(trace.figures?.errorCount ?? 0);
    return {
      content: (
        <>
          {trace.figuresAreLowerBounds && "≥"}{short(trace.figures?.spanCount)}
          {errors > 0 && <span class="bad" title={`${errors} failed`}> ✕{short(errors)}</span>}
        </>
      ),
    };
  },
  user: (of) => ({
    content: <Value of={of} name="user" value={of.trace.user?.id}
      text={of.trace.user?.name || of.trace.user?.id} />,
  }),
  session: (of) => ({
    content: of.trace.conversationId !== of.trace.traceId
      && <Value of={of} name="session" value={of.trace.conversationId} />,
  }),
  agent: (of) => ({ content: <First of={of} name="agent" values={of.trace.agentNames} /> }),
  feature: (of) => ({ content: <Value of={of} name="feature" value={of.trace.feature} /> }),
  env: (of) => ({ content: <Value of={of} name="env" value={of.trace.environment} /> }),
  marks: ({ trace }) => ({ content: <Thumbs reviews={trace.reviews} /> }),
};
