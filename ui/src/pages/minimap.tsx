/** All spans of a trace on a small map, on which the range of the time axis is chosen. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { rangeText, type Axis } from "../model/axis";
import { duration } from "../model/format";
import type { Outline } from "../model/outline";
import type { Tree } from "../model/tree";
import { Brushed, useBrush } from "../parts/brush";
import { say } from "../parts/small";
import { change } from "../place";
import { theme } from "../settings";

/** What the axis shows, as the address has it; another value of `range` is a range of time. */
export const AXES: readonly (readonly [range: string, name: string])[] = [
  ["", "whole trace"], ["span", "selected span"], ["rows", "rows in view"],
];
const HEIGHT = 40;
const COLOURS: Record<string, string> = {
  model: "--model", tool: "--tool", retrieval: "--tool", agent: "--agent",
};
/** What changes the colours besides the setting. */
const SCHEMES = ["(prefers-color-scheme: dark)", "(forced-colors: active)"]
  .map((query) => matchMedia(query));

interface Props {
  outline: Outline;
  tree: Tree;
  /** The axis of the whole trace, and that of the rows. */
  whole: Axis;
  shown: Axis;
  /** `range` of the address. */
  range: string;
  /** The lengths of the gaps that are folded, or would be. */
  gaps: readonly number[];
}

export function Minimap({ outline, tree, whole, shown, range, gaps }: Props) {
  const choose = (from: number, to: number) => {
    const text = rangeText(from, to);
    if (text) change({ range: text });
    else say("the end is not after the start");
  };
  const brush = useBrush((from, to) => choose(whole.ms(from), whole.ms(to)));
  const isNamed = AXES.some(([name]) => name === range);
  const isOpen = gaps.length > 0 && whole.gaps.length === 0;
  const bound = (label: string, value: number, set: (ms: number) => void) => (
    <label>
      {label}{" "}
      <input type="number" min={0} step="any" key={`${value}`} defaultValue={seconds(value)}
        onChange={(e) => set(e.currentTarget.valueAsNumber * 1000)} />
    </label>
  );
  return (
    <div class="minimap">
      <div class="map" {...brush.handlers} title="Drag to choose a range of time">
        <Drawn outline={outline} tree={tree} axis={whole} />
        <Brushed range={brush.range ?? (range ? [whole.at(shown.from), whole.at(shown.to)] : null)} />
      </div>
      <div class="bar" role="group" aria-label="Time axis">
        <select aria-label="Time axis shows" value={isNamed ? range : "times"}
          onChange={(e) => change({ range: e.currentTarget.value === "times"
            ? rangeText(shown.from, shown.to) : e.currentTarget.value })}>
          {AXES.map(([name, label]) => <option key={name} value={name}>{label}</option>)}
          <option value="times">from … to</option>
        </select>
        {bound("from", shown.from, (ms) => choose(ms, shown.to))}
        {bound("to", shown.to, (ms) => choose(shown.from, ms))} s
        {gaps.length > 0 && (
          <button type="button" class="toggle small" aria-pressed={!isOpen}
            title="Times in which no span ran"
            onClick={() => change({ gaps: isOpen ? null : "1" })}>
            {gaps.length > 1 ? "gaps" : "gap"} of {gaps.map(duration).join(", ")} folded
          </button>
        )}
      </div>
    </div>
  );
}

const seconds = (ms: number) => String(Number((ms / 1000).toFixed(3)));

function Drawn({ outline, tree, axis }: { outline: Outline; tree: Tree; axis: Axis }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [, redraw] = useState(0);
  // In the layout's turn, so that it ends before the element is removed.
  useLayoutEffect(() => {
    const element = canvas.current!;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    const again = () => redraw((n) => n + 1);
    for (const query of SCHEMES) query.addEventListener("change", again);
    return () => {
      observer.disconnect();
      for (const query of SCHEMES) query.removeEventListener("change", again);
    };
  }, []);
  useEffect(() => {
    if (width) draw(canvas.current!, width, outline, tree, axis);
  }, [width, outline, outline.size, tree, axis.to, axis.gaps.length, theme.value,
    ...SCHEMES.map((query) => query.matches)]);
  return <canvas ref={canvas} aria-hidden="true" />;
}

/** Each span as a line at its place in the order of reading; those that failed on top. */
function draw(
  canvas: HTMLCanvasElement, width: number, outline: Outline, tree: Tree, axis: Axis,
): void {
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(ratio, ratio);
  // A canvas knows no variables of a style sheet; the style of an element resolves them.
  const colour = (variable: string) => {
    canvas.style.color = `var(${variable})`;
    return getComputedStyle(canvas).color;
  };
  const colours = new Map(["--step", ...Object.values(COLOURS)].map((name) => [name, colour(name)]));
  const n = outline.size;
  const height = Math.max(1, Math.min(4, HEIGHT / n - 1));
  const line = (row: number) => {
    const left = axis.at(outline.start[row]!) * width;
    const length = outline.duration[row]!;
    const isOpen = length < 0 && outline.kindOf(row) !== "event";
    const end = isOpen ? axis.to : outline.start[row]! + Math.max(0, length);
    const top = Math.floor((tree.position[row]! * HEIGHT) / Math.max(n, HEIGHT / 5));
    context.fillRect(left, top, Math.max(1, axis.at(end) * width - left), height);
  };
  let before = "";
  const failed: number[] = [];
  for (let row = 0; row < n; row++) {
    if (outline.isError(row)) failed.push(row);
    const name = COLOURS[outline.kindOf(row)] ?? "--step";
    if (name !== before) context.fillStyle = colours.get(name)!;
    before = name;
    line(row);
  }
  context.fillStyle = colour("--bad");
  failed.forEach(line);
}
