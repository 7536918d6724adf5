/** The spans of a trace as a tree beside a time axis; only rows in view are drawn. */
import { useRef, useState } from "preact/hooks";
import { axisOf, rangeIn, type Span } from "../model/axis";
import { isCritical, type CriticalPath } from "../model/critical";
import type { Outline } from "../model/outline";
import type { Only, Shown, Tree } from "../model/tree";
import { cost, count, duration, short } from "../model/format";
import { Pool } from "../parts/pool";
import { Sent } from "../parts/small";
import { change, place } from "../place";
import { Minimap } from "./minimap";

const ONLY: [Only, string][] = [
  ["errors", "errors"], ["models", "models"], ["tools", "tools"], ["agents", "agents"],
  ["critical", "critical path"], ["found", "found"],
];
const ICONS: Record<string, string> = {
  model: "◆", tool: "▸", agent: "●", retrieval: "⌕", conversation: "≡", function: "ƒ", event: "·",
  step: "▫",
};

interface Props {
  outline: Outline;
  tree: Tree;
  shown: Shown;
  folded: ReadonlySet<string>;
  row: number;
  active: number;
  found: ReadonlySet<number>;
  only: Only[];
  /** The critical path; null until the outline is complete. */
  critical: CriticalPath | null;
  /** Times in which no span ran, long enough to be folded. */
  gaps: readonly Span[];
  /** The end of the trace, in milliseconds after the base. */
  end: number;
  select: (row: number) => void;
  toggle: (id: string) => void;
  foldAll: () => void;
  running: boolean;
  complete: boolean;
}

export function Waterfall(props: Props) {
  const { outline, tree, shown, folded, only, critical, end: traceEnd } = props;
  const { query } = place.value;
  const range = query.get("range") ?? "";
  const inView = useRef<Span>([0, 0]);
  const [, redraw] = useState(0);
  const gaps = query.get("gaps") === "1" ? [] : props.gaps;
  const whole = axisOf(0, traceEnd, gaps);
  const axis = range ? axisOf(...rangeOf(props, range, inView.current), gaps) : whole;

  const row = (index: number) => {
    const at = shown.positions[index]!;
    const span = tree.order[at]!;
    const id = outline.ids[span]!;
    const depth = tree.depth[at]!;
    const hasChildren = tree.span[at]! > 1;
    const isFolded = folded.has(id);
    const kind = outline.kindOf(span);
    const isError = outline.isError(span);
    const length = outline.duration[span]!;
    const isOpen = length < 0 && kind !== "event";
    const start = outline.start[span]!;
    const end = endOf(props, span);
    const left = axis.at(start) * 100;
    const width = axis.at(end) * 100 - left;
    const isOnPath = critical !== null && isCritical(critical, span);
    const name = outline.nameOf(span) || "unnamed";
    const tokens = isFolded ? tree.tokens[at]! : own(outline, span);
    const spent = isFolded ? tree.cost[at]! : Math.max(0, outline.cost[span]!);
    const below = tree.errors[at]! - (isError ? 1 : 0);
    const words = [kind, name, isError ? "error" : "", isOpen ? "open" : duration(length),
      isOnPath ? `on the critical path, ${duration(critical.own[span]!) || "0 ms"} of its own` : ""];
    return (
      <div
        key={id} role="row" id={`span-${index}`} aria-rowindex={index + 2} aria-level={depth + 1}
        aria-expanded={hasChildren ? !isFolded : undefined} aria-selected={span === props.row}
        aria-label={words.filter(Boolean).join(", ")}
        class={rowClass(span === props.row, isError, shown.context[index] === 1, props.found.has(span))}
        onClick={() => props.select(span)}
      >
        <span role="gridcell" class="w-name">
          <span class="indent" style={{ width: `${Math.min(depth, 24) * 12}px` }} />
          {hasChildren ? (
            <button type="button" class="fold" tabIndex={-1} aria-label={isFolded ? "Unfold" : "Fold"}
              onClick={(e) => {
                e.stopPropagation();
                props.toggle(id);
              }}>{isFolded ? "▶" : "▼"}</button>
          ) : <span class="fold" />}
          <span class={`icon ${kind}`} title={kind} aria-hidden="true">{ICONS[kind]}</span>
          <span class="w-text"><Sent text={name} /></span>
          {isError && <span class="bad"> ✕ error</span>}
          {isFolded && <span class="dim"> +{count(tree.span[at]! - 1)}</span>}
          {below > 0 && isFolded && <span class="bad"> ✕{count(below)}</span>}
          {outline.reviewed[span] === 1 && <span title="has feedback"> ✎</span>}
        </span>
        <span role="gridcell" class="w-tokens">{tokens > 0 && short(tokens)}</span>
        <span role="gridcell" class="w-cost">{spent > 0 && cost(spent)}</span>
        <span role="gridcell" class="w-bar">
          <span class={`bar-of ${kind}${isError ? " error" : ""}${isOpen ? " open" : ""}`}
            style={{ left: `${left}%`, width: `${width}%` }} />
          {isOnPath && <span class="critical" style={{
            left: `${axis.at(critical.from[span]!) * 100}%`,
            width: `${(axis.at(critical.to[span]!) - axis.at(critical.from[span]!)) * 100}%`,
          }} />}
          <span class={left + width > 80 && left <= 20 ? "w-time inside" : "w-time"}
            style={left + width <= 80 ? { left: `${left + width}%` }
              : left > 20 ? { right: `${100 - left}%` } : { right: `${100 - left - width}%` }}>
            {isOpen ? "open" : duration(length)}
          </span>
        </span>
      </div>
    );
  };

  const setOnly = (kind: Only) => {
    const next = only.includes(kind) ? only.filter((one) => one !== kind) : [...only, kind];
    change({ only: next.join(",") || null });
  };
  return (
    <div class="waterfall" style={{ "--gaps": stripes(axis) }}>
      <div class="bar" role="toolbar" aria-label="Spans">
        <span class="dim">
          {count(shown.positions.length)}
          {shown.positions.length !== outline.size && ` of ${count(outline.size)}`} spans
          {!props.complete && " · loading…"}
        </span>
        <span class="grow" />
        {ONLY.map(([kind, label]) => (kind !== "found" || props.found.size > 0) && (
          <button key={kind} type="button" class={`toggle small only-${kind}`} aria-pressed={only.includes(kind)}
            onClick={() => setOnly(kind)}>{label}</button>
        ))}
        <button type="button" class="small" onClick={props.foldAll}>
          {folded.size ? "Unfold all" : "Fold all"}
        </button>
      </div>
      <Minimap outline={outline} tree={tree} whole={whole} shown={axis} range={range}
        gaps={props.gaps.map(([from, to]) => to - from)} />
      <Pool
        count={shown.positions.length} rowHeight={26} role="treegrid" label="Spans" columns={4}
        className="span-list" active={props.active}
        activeId={props.active >= 0 ? `span-${props.active}` : undefined}
        header={<div class="w-row head" role="row">
          <span role="columnheader" class="w-name">Span</span>
          <span role="columnheader" class="w-tokens">Tokens</span>
          <span role="columnheader" class="w-cost">Cost</span>
          <span role="columnheader" class="w-bar axis-row" aria-label="Time">
            {[0, 25, 50, 75].map((at) => (
              <span key={at} class="tick" style={{ left: `${at}%` }}>
                {duration(axis.ms(at / 100)) || "0"}
              </span>
            ))}
            {axis.gaps.map(([from, to]) => (
              <span key={from} class="gap" style={{ left: `${axis.at(from) * 100}%` }}
                title={`no span ran for ${duration(to - from)}`}>⋯</span>
            ))}
          </span>
        </div>}
        row={row}
        onView={(first, last) => {
          inView.current = [first, last];
          if (range === "rows") redraw((n) => n + 1);
        }}
      />
    </div>
  );
}

function rowClass(isActive: boolean, isError: boolean, isContext: boolean, isFound: boolean): string {
  return ["w-row", isActive && "active", isError && "failed-row", isContext && "context",
    isFound && "found"].filter(Boolean).join(" ");
}

function own(outline: Outline, row: number): number {
  return Math.max(0, outline.input[row]!) + Math.max(0, outline.output[row]!);
}

/** The end of a span as it is drawn, in milliseconds after the base. */
function endOf({ outline, running, end }: Props, row: number): number {
  const start = outline.start[row]!;
  const length = outline.duration[row]!;
  if (length >= 0) return start + length;
  return running && outline.kindOf(row) !== "event" ? Math.max(start, end) : start;
}

/** The range of time that the address names, in milliseconds after the base. */
function rangeOf(props: Props, range: string, [first, last]: Span): Span {
  const { outline, tree, shown, row, end } = props;
  let rows: number[] = [];
  if (range === "span" && row >= 0) rows = [row];
  if (range === "rows") {
    // Not those that contain the row after them: they may be as long as the trace.
    const depth = (index: number) => tree.depth[shown.positions[index]!]!;
    for (let index = first; index < Math.min(last, shown.positions.length); index++) {
      if (index + 1 < shown.positions.length && depth(index + 1) > depth(index)) continue;
      rows.push(tree.order[shown.positions[index]!]!);
    }
  }
  if (!rows.length) return rangeIn(range) ?? [0, end];
  const from = Math.min(...rows.map((one) => outline.start[one]!));
  const to = Math.max(...rows.map((one) => endOf(props, one)));
  const margin = Math.max((to - from) * 0.05, 0.5);
  return [Math.max(0, from - margin), to + margin];
}

/** The background of the bars, which marks where a gap is folded. */
function stripes({ gaps, at }: ReturnType<typeof axisOf>): string {
  const images = gaps.map(([from, to]) => {
    const [left, right] = [`${at(from) * 100}%`, `${at(to) * 100}%`];
    return `linear-gradient(to right, transparent ${left}, var(--back-3) ${left} ${right}, `
      + `transparent ${right})`;
  });
  return images.join(", ") || "none";
}
