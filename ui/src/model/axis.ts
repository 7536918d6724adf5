/** The time axis of the spans: a range of a trace, in which long gaps are folded. */
import type { Outline } from "./outline";

/** Milliseconds after the base of the outline. */
export type Span = readonly [from: number, to: number];

export interface Axis {
  from: number;
  to: number;
  /** The gaps that are folded, in order. */
  gaps: readonly Span[];
  /** The share of the width before a time, 0 to 1; times outside of the range are at its ends. */
  at: (ms: number) => number;
  /** The time at a share of the width. */
  ms: (share: number) => number;
}

/** A gap is folded if it is longer than this share of the trace, ... */
export const LONG = 0.2;
/** ... and has this share of the width then. */
export const FOLDED = 0.04;

/** The long times of a trace in which no span runs, in order.
 *
 * @param end the end of the trace, until which open spans run if it is `running`. */
export function gapsOf(outline: Outline, end: number, running: boolean): Span[] {
  const { start, duration, size } = outline;
  let order: Iterable<number> = start.keys();
  for (let row = 1; row < size; row++) {
    if (start[row]! < start[row - 1]!) {
      order = Array.from(start.keys()).sort((a, b) => start[a]! - start[b]!);
      break;
    }
  }
  const gaps: Span[] = [];
  let until = 0;
  for (const row of order) {
    if (start[row]! - until > end * LONG) gaps.push([until, start[row]!]);
    const length = duration[row]!;
    const isOpen = length < 0 && running && outline.kindOf(row) !== "event";
    until = Math.max(until, isOpen ? end : start[row]! + Math.max(0, length));
  }
  return gaps;
}

/** The axis from one time to another. A gap that fills the whole range is not folded. */
export function axisOf(from: number, to: number, gaps: readonly Span[]): Axis {
  const inside = gaps
    .map(([begin, end]): Span => [Math.max(from, begin), Math.min(to, end)])
    .filter(([begin, end]) => begin < end);
  const hidden = inside.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const visible = to - from - hidden;
  const folded = visible > 0 ? inside : [];
  const scale = (1 - folded.length * FOLDED) / Math.max(folded.length ? visible : to - from, 0.001);
  // Where the axis bends: times, and the shares of the width before them.
  const times = [from];
  const shares = [0];
  const bend = (time: number, width: number) => {
    times.push(time);
    shares.push(shares[shares.length - 1]! + width);
  };
  for (const [begin, end] of folded) {
    bend(begin, (begin - times[times.length - 1]!) * scale);
    bend(end, FOLDED);
  }
  bend(Math.max(to, from + 0.001), (to - times[times.length - 1]!) * scale);
  return {
    from, to, gaps: folded,
    at: (ms) => between(times, shares, ms),
    ms: (share) => between(shares, times, share),
  };
}

/** The value of a line through points, whose first coordinates rise. */
function between(xs: readonly number[], ys: readonly number[], x: number): number {
  const last = xs.length - 1;
  if (x <= xs[0]!) return ys[0]!;
  if (x >= xs[last]!) return ys[last]!;
  let at = 1;
  while (xs[at]! < x) at++;
  const width = xs[at]! - xs[at - 1]!;
  return width > 0
    ? ys[at - 1]! + ((ys[at]! - ys[at - 1]!) * (x - xs[at - 1]!)) / width : ys[at]!;
}

/** A range as the address has it, such as `1200-3400.5`; null if it is none. */
export function rangeIn(text: string): Span | null {
  const found = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text);
  if (!found) return null;
  const [from, to] = [Number(found[1]), Number(found[2])];
  return from < to && Number.isFinite(to) ? [from, to] : null;
}

/** Writes a range for the address, to a thousandth of a millisecond; "" for none. */
export function rangeText(from: number, to: number): string {
  const text = (ms: number) => Math.max(0, ms).toFixed(3).replace(/\.?0+$/, "");
  const written = `${text(from)}-${text(to)}`;
  return rangeIn(written) ? written : "";
}
