/** One trace as one line. */
import type { TraceSummaryJson } from "#api/query_pb";
import { duration, ms, short } from "../model/format";
import { Ago, Cost, Duration, Sent, stateOf, Status, Thumbs, Tokens } from "../parts/small";
import { taken } from "./traces";

export const COLUMNS: [string, string][] = [
  ["c-status", "Status"], ["c-start", "Start"], ["c-name", "Name"], ["c-said", "Input → output"],
  ["c-model", "Model"], ["c-time", "Duration"], ["c-tokens", "Tokens"], ["c-cost", "Cost"],
  ["c-spans", "Spans"], ["c-user", "User"], ["c-marks", "Feedback"],
];

interface Props {
  trace: TraceSummaryJson;
  index: number;
  isActive: boolean;
  href: string;
  only: (name: string, value: string) => void;
}

export function TraceRow({ trace, index, isActive, href, only }: Props) {
  const figures = trace.figures ?? {};
  const errors = Number(figures.errorCount ?? 0);
  const isTaken = taken.value.includes(trace.traceId ?? "");
  const filter = (name: string, value: string | undefined, text = value) => value ? (
    <button type="button" class="value" tabIndex={-1} title={`Only ${text}`}
      onClick={() => only(name, value)}><Sent text={text} /></button>
  ) : null;
  const models = trace.models ?? [];
  const length = ms(trace.duration);
  return (
    <div role="row" id={`row-${index}`} aria-rowindex={index + 2} aria-selected={isActive}
      class={`trace-row${isActive ? " active" : ""}${isTaken ? " taken" : ""}`}>
      <span role="gridcell" class="c-status"><Status state={stateOf(trace)} /></span>
      <span role="gridcell" class="c-start"><Ago at={trace.startTime} /></span>
      <span role="gridcell" class="c-name">
        <a href={href} tabIndex={-1}><Sent text={trace.name || "unnamed"} /></a>
      </span>
      <span role="gridcell" class="c-said" title={`${trace.inputPreview ?? ""}\n→ ${trace.outputPreview ?? ""}`}>
        <Sent text={trace.inputPreview} />
        {trace.outputPreview && <span class="dim"> → <Sent text={trace.outputPreview} /></span>}
      </span>
      <span role="gridcell" class="c-model">
        {filter("model", models[0])}{models.length > 1 && <span class="dim" title={models.join(", ")}> +{models.length - 1}</span>}
      </span>
      <span role="gridcell" class="c-time">
        <span class="length" style={{ width: `${Math.min(100, Math.sqrt(Math.max(0, length) / 60_000) * 100)}%` }} />
        <span title={duration(length)}><Duration text={trace.duration} /></span>
      </span>
      <span role="gridcell" class="c-tokens"><Tokens input={figures.inputTokens} output={figures.outputTokens} /></span>
      <span role="gridcell" class="c-cost"><Cost usd={figures.costUsd} /></span>
      <span role="gridcell" class="c-spans">
        {trace.figuresAreLowerBounds && "≥"}{short(figures.spanCount)}
        {errors > 0 && <span class="bad" title={`${errors} failed`}> ✕{short(errors)}</span>}
      </span>
      <span role="gridcell" class="c-user">
        {filter("user", trace.user?.id, trace.user?.name || trace.user?.id)}
      </span>
      <span role="gridcell" class="c-marks"><Thumbs reviews={trace.reviews} /></span>
    </div>
  );
}
