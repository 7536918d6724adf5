/** The critical path of a trace: the spans that its length depends on, at each moment one. */
import type { Outline } from "./outline";
import type { Tree } from "./tree";

export interface CriticalPath {
  /** By row: from when to when the span is on the path, in milliseconds after the base. NaN: it is
   * not on the path. */
  from: Float64Array;
  to: Float64Array;
  /** By row: for how much of that no span inside of it is on the path. */
  own: Float64Array;
}

export const isCritical = (path: CriticalPath, row: number) => !Number.isNaN(path.from[row]!);

/** Walks back from the end. Of the spans inside of a span, the one that ends last is on the path;
 * before that span began, the one that ended last until then. A span that ends after the one
 * around it counts until that ends.
 *
 * @param now until when open spans run, for a trace that runs; else null. */
export function criticalPath(outline: Outline, tree: Tree, now: number | null): CriticalPath {
  const n = outline.size;
  const path: CriticalPath = {
    from: new Float64Array(n).fill(NaN),
    to: new Float64Array(n).fill(NaN),
    own: new Float64Array(n),
  };
  const whole = endsOf(outline, tree, now);
  const ends = new Float64Array(n);
  const waiting: number[] = [];
  /** Puts the spans at these positions that are on the path into `waiting`; returns how much of the
   * time none of them is. */
  const choose = (first: number, after: number, from: number, to: number): number => {
    const inside: number[] = [];
    for (let at = first; at < after; at += tree.span[at]!) {
      const row = tree.order[at]!;
      ends[row] = Math.min(to, whole[row]!);
      if (ends[row]! > Math.max(from, outline.start[row]!)) inside.push(at);
    }
    // Of those that end together, the longest is taken.
    inside.sort((a, b) => {
      const [one, other] = [tree.order[a]!, tree.order[b]!];
      return ends[one]! - ends[other]! || outline.start[other]! - outline.start[one]!;
    });
    let until = to;
    let own = 0;
    for (let index = inside.length - 1; index >= 0; index--) {
      const at = inside[index]!;
      const row = tree.order[at]!;
      if (ends[row]! > until) continue;
      own += until - ends[row]!;
      until = Math.max(from, outline.start[row]!);
      path.from[row] = until;
      path.to[row] = ends[row]!;
      waiting.push(at);
    }
    return own + until - from;
  };
  choose(0, n, 0, whole.reduce((last, end) => Math.max(last, end), 0));
  while (waiting.length) {
    const at = waiting.pop()!;
    const row = tree.order[at]!;
    path.own[row] = choose(at + 1, at + tree.span[at]!, path.from[row]!, path.to[row]!);
  }
  return path;
}

/** By row: the end. A span that was never ended counts until the last of those inside of it. */
function endsOf(outline: Outline, tree: Tree, now: number | null): Float64Array {
  const ends = Float64Array.from(outline.start);
  for (let at = outline.size - 1; at >= 0; at--) {
    const row = tree.order[at]!;
    const length = outline.duration[row]!;
    if (length >= 0) ends[row] = outline.start[row]! + length;
    else if (now !== null && outline.kindOf(row) !== "event") ends[row] = Math.max(ends[row]!, now);
    if (tree.depth[at]! === 0) continue;
    const around = outline.parent[row]!;
    if (outline.duration[around]! < 0) ends[around] = Math.max(ends[around]!, ends[row]!);
  }
  return ends;
}
