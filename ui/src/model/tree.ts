/** The tree of an outline, as arrays: the order of depth-first reading, depths and subtree sums. */
import { isCritical, type CriticalPath } from "./critical";
import { ERROR, KIND_MODEL, KIND_TOOL, type Outline } from "./outline";

export interface Tree {
  /** Position in the order of reading -> row of the outline. */
  order: Int32Array;
  /** Row -> position. */
  position: Int32Array;
  /** By position: the depth, and the number of positions in the subtree, itself included. */
  depth: Int32Array;
  span: Int32Array;
  /** By position: sums over the subtree. */
  tokens: Float64Array;
  cost: Float64Array;
  errors: Int32Array;
}

/** Reads the tree without recursion: a trace may be 100,000 spans deep. Cycles are cut. */
export function treeOf(outline: Outline): Tree {
  const n = outline.size;
  const firstChild = new Int32Array(n).fill(-1);
  const next = new Int32Array(n).fill(-1);
  let firstRoot = -1;
  for (let row = n - 1; row >= 0; row--) {
    const parent = outline.parent[row]!;
    if (parent >= 0 && parent < n && parent !== row) {
      next[row] = firstChild[parent]!;
      firstChild[parent] = row;
    } else {
      next[row] = firstRoot;
      firstRoot = row;
    }
  }
  const tree: Tree = {
    order: new Int32Array(n),
    position: new Int32Array(n).fill(-1),
    depth: new Int32Array(n),
    span: new Int32Array(n).fill(1),
    tokens: new Float64Array(n),
    cost: new Float64Array(n),
    errors: new Int32Array(n),
  };
  const stack = new Int32Array(n + 1);
  const depths = new Int32Array(n);
  let at = 0;
  const walk = (root: number) => {
    let top = 0;
    stack[top++] = root;
    depths[root] = 0;
    while (top > 0) {
      const row = stack[--top]!;
      tree.position[row] = at;
      tree.order[at] = row;
      tree.depth[at] = depths[row]!;
      at++;
      const begin = top;
      for (let child = firstChild[row]!; child >= 0; child = next[child]!) {
        if (tree.position[child]! >= 0) continue;
        depths[child] = depths[row]! + 1;
        stack[top++] = child;
      }
      stack.subarray(begin, top).reverse();
    }
  };
  for (let root = firstRoot; root >= 0; root = next[root]!) walk(root);
  // What no root leads to is in a cycle; its earliest span is the root.
  for (let row = 0; row < n && at < n; row++) if (tree.position[row]! < 0) walk(row);
  sums(outline, tree);
  return tree;
}

function sums(outline: Outline, tree: Tree): void {
  const open: number[] = [];
  const close = (until: number) => {
    while (open.length > until) {
      const at = open.pop()!;
      const above = open[open.length - 1];
      if (above === undefined) continue;
      tree.span[above]! += tree.span[at]!;
      tree.tokens[above]! += tree.tokens[at]!;
      tree.cost[above]! += tree.cost[at]!;
      tree.errors[above]! += tree.errors[at]!;
    }
  };
  for (let at = 0; at < tree.order.length; at++) {
    const row = tree.order[at]!;
    close(tree.depth[at]!);
    if (!outline.repeated[row]) {
      tree.tokens[at] = Math.max(0, outline.input[row]!) + Math.max(0, outline.output[row]!);
      tree.cost[at] = Math.max(0, outline.cost[row]!);
    }
    tree.errors[at] = outline.status[row] === ERROR ? 1 : 0;
    open.push(at);
  }
  close(0);
}

/** What is shown of a tree: only some kinds, and nothing inside of what is folded. */
export interface Shown {
  /** The positions that are drawn, in order. */
  positions: Int32Array;
  /** By drawn index: 1 if the row itself does not match, but has a descendant that does. */
  context: Uint8Array;
}

export type Only = "errors" | "models" | "tools" | "agents" | "found" | "critical";

/** What is known of the rows besides the outline, for the kinds of the same names. */
export interface Marks {
  found: ReadonlySet<number>;
  critical: CriticalPath | null;
}

const NO_MARKS: Marks = { found: new Set(), critical: null };

/** The rows to draw. `only`: the kinds to keep; their ancestors stay. */
export function shownOf(
  outline: Outline, tree: Tree, folded: ReadonlySet<string>,
  only: readonly Only[] = [], marks = NO_MARKS,
): Shown {
  const n = tree.order.length;
  let keep: Uint8Array | null = null;
  if (only.length) {
    keep = new Uint8Array(n);
    const path: number[] = [];
    for (let at = 0; at < n; at++) {
      const depth = tree.depth[at]!;
      path.length = Math.min(path.length, depth);
      path.push(at);
      if (!only.some((kind) => matches(outline, tree.order[at]!, kind, marks))) continue;
      for (let up = path.length - 1; up >= 0 && !keep[path[up]!]; up--) keep[path[up]!] = 1;
      keep[at] = 2;
    }
  }
  const positions = new Int32Array(n);
  const context = new Uint8Array(n);
  let count = 0;
  for (let at = 0; at < n; ) {
    if (keep && !keep[at]) {
      at++;
      continue;
    }
    positions[count] = at;
    context[count++] = keep && keep[at] === 1 ? 1 : 0;
    at += folded.has(outline.ids[tree.order[at]!]!) ? tree.span[at]! : 1;
  }
  return { positions: positions.slice(0, count), context: context.slice(0, count) };
}

function matches(
  outline: Outline, row: number, only: Only, marks: Marks,
): boolean {
  switch (only) {
    case "errors": return outline.status[row] === ERROR;
    case "models": return outline.kind[row] === KIND_MODEL;
    case "tools": return outline.kind[row] === KIND_TOOL || outline.kind[row] === 5;
    case "agents": return outline.kind[row] === 4;
    case "found": return marks.found.has(row);
    case "critical": return marks.critical !== null && isCritical(marks.critical, row);
  }
}

/** The ids of all spans that have children, for "fold all". */
export function parents(outline: Outline, tree: Tree): Set<string> {
  const ids = new Set<string>();
  for (let at = 0; at < tree.order.length; at++) {
    if (tree.span[at]! > 1) ids.add(outline.ids[tree.order[at]!]!);
  }
  return ids;
}

/** Rows whose name, agent or model contains the text, without regard to case. */
export function namesWith(outline: Outline, text: string): Set<number> {
  const needle = text.toLowerCase();
  const hits = outline.strings.map((known) => known.toLowerCase().includes(needle));
  const rows = new Set<number>();
  for (let row = 0; row < outline.size; row++) {
    if (hits[outline.name[row]!] || hits[outline.agent[row]!] || hits[outline.model[row]!]) {
      rows.add(row);
    }
  }
  return rows;
}

/** The next of some rows in the order of reading, after a position, around the end; or -1. */
export function nextOf(
  tree: Tree, after: number, step: 1 | -1, wanted: (row: number) => boolean,
): number {
  const n = tree.order.length;
  for (let i = 1; i <= n; i++) {
    const at = (((after + step * i) % n) + n) % n;
    if (wanted(tree.order[at]!)) return tree.order[at]!;
  }
  return -1;
}

/** The previous model call of the same agent before this one, or -1. */
export function previousCall(outline: Outline, row: number): number {
  for (let at = row - 1; at >= 0; at--) {
    if (outline.kind[at] === KIND_MODEL && outline.agent[at] === outline.agent[row]
      && !outline.repeated[at]) return at;
  }
  return -1;
}
