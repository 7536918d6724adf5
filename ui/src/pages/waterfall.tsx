/** The spans of a trace as a tree beside a time axis; only rows in view are drawn. */
import type { Outline } from "../model/outline";
import type { Only, Shown, Tree } from "../model/tree";
import { cost, count, duration, short } from "../model/format";
import { Pool } from "../parts/pool";
import { Sent } from "../parts/small";
import { change } from "../place";

export type Zoom = "whole" | "selection";

const ONLY: [Only, string][] = [
  ["errors", "errors"], ["models", "models"], ["tools", "tools"], ["agents", "agents"],
  ["found", "found"],
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
  zoom: Zoom;
  setZoom: (zoom: Zoom) => void;
  select: (row: number) => void;
  toggle: (id: string) => void;
  foldAll: () => void;
  running: boolean;
  complete: boolean;
}

export function Waterfall(props: Props) {
  const { outline, tree, shown, folded, only } = props;
  const [from, to] = axis(props);
  const scale = 100 / Math.max(to - from, 0.001);
  const nowMs = Date.now() - outline.baseMs;

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
    const end = isOpen ? (props.running ? Math.max(start, nowMs) : start) : start + Math.max(0, length);
    const left = Math.max(0, Math.min(100, (start - from) * scale));
    const width = Math.max(0, Math.min(100, (end - from) * scale) - left);
    const name = outline.nameOf(span) || "unnamed";
    const tokens = isFolded ? tree.tokens[at]! : own(outline, span);
    const spent = isFolded ? tree.cost[at]! : Math.max(0, outline.cost[span]!);
    const below = tree.errors[at]! - (isError ? 1 : 0);
    const words = [kind, name, isError ? "error" : "", isOpen ? "open" : duration(length)];
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
    <div class="waterfall">
      <div class="bar" role="toolbar" aria-label="Spans">
        <span class="dim">
          {count(shown.positions.length)}
          {shown.positions.length !== outline.size && ` of ${count(outline.size)}`} spans
          {!props.complete && " · loading…"}
        </span>
        <span class="grow" />
        {ONLY.map(([kind, label]) => (kind !== "found" || props.found.size > 0) && (
          <button key={kind} type="button" class="toggle small" aria-pressed={only.includes(kind)}
            onClick={() => setOnly(kind)}>{label}</button>
        ))}
        <button type="button" class="small" onClick={props.foldAll}>
          {folded.size ? "Unfold all" : "Fold all"}
        </button>
        <button type="button" class="small" onClick={() => {
          props.setZoom(props.zoom === "whole" ? "selection" : "whole");
        }}>{props.zoom === "whole" ? "Zoom to span" : "Whole time"}</button>
      </div>
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
                {duration(from + ((to - from) * at) / 100) || "0"}
              </span>
            ))}
          </span>
        </div>}
        row={row}
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

/** The range of time that the axis has, in milliseconds after the base. */
function axis({ outline, zoom, row, running }: Props): [number, number] {
  const end = running ? Math.max(outline.end(), Date.now() - outline.baseMs) : outline.end();
  if (zoom === "whole" || row < 0) return [0, end];
  const length = Math.max(0, outline.duration[row]!);
  const margin = Math.max(length * 0.05, 0.5);
  const start = outline.start[row]!;
  return [Math.max(0, start - margin), start + length + margin];
}
