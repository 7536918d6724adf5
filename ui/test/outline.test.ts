import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { merged, Outline } from "../src/model/outline";
import { namesWith, nextOf, parents, previousCall, shownOf, treeOf } from "../src/model/tree";

interface Node {
  id: string;
  parent: number;
  start: number;
  kind: number;
  error: boolean;
  tokens: number;
}

/** An outline as the server sends it, in chunks of some rows. */
function outlineOf(nodes: readonly Node[], chunk = 1000): Outline {
  const outline = new Outline();
  for (let first = 0; first < nodes.length || first === 0; first += chunk) {
    const part = nodes.slice(first, first + chunk);
    outline.add({
      baseTime: "2026-01-01T00:00:00Z",
      strings: first ? part.map((node) => node.id) : ["", ...part.map((node) => node.id)],
      spanIds: part.map((node) => node.id),
      parentRows: part.map((node) => node.parent),
      names: part.map((_, at) => first + at + 1),
      kinds: part.map((node) => node.kind),
      statusCodes: part.map((node) => (node.error ? 2 : 1)),
      startOffsetsMs: part.map((node) => node.start),
      durationsMs: part.map(() => 5),
      agents: part.map(() => 0),
      models: part.map(() => 0),
      inputTokens: part.map((node) => node.tokens),
      outputTokens: part.map(() => -1),
      costsUsd: part.map(() => -1),
    });
  }
  return outline;
}

/** Spans with any parents, cycles included. */
const anySpans = fc.array(fc.record({
  parent: fc.integer({ min: -1, max: 60 }), start: fc.integer({ min: 0, max: 1000 }),
  kind: fc.integer({ min: 0, max: 8 }), error: fc.boolean(), tokens: fc.integer({ min: -1, max: 99 }),
}), { maxLength: 60 }).map((spans) => spans.map((span, at): Node => ({
  ...span, id: `s${at}`, parent: span.parent < spans.length ? span.parent : -1,
})));

describe("a tree", () => {
  it("has each span once, children behind their parent, and sums that fit", () => {
    fc.assert(fc.property(anySpans, (nodes) => {
      const outline = outlineOf(nodes, 7);
      const tree = treeOf(outline);
      expect([...tree.order].sort((a, b) => a - b)).toEqual(nodes.map((_, row) => row));
      let tokens = 0;
      for (let at = 0; at < nodes.length; at++) {
        const row = tree.order[at]!;
        expect(tree.position[row]).toBe(at);
        if (tree.depth[at]! > 0) {
          const above = tree.position[outline.parent[row]!]!;
          expect(tree.depth[at]).toBe(tree.depth[above]! + 1);
          expect(at).toBeGreaterThan(above);
          expect(at).toBeLessThan(above + tree.span[above]!);
        } else tokens += tree.tokens[at]!;
      }
      expect(tokens).toBe(nodes.reduce((sum, node) => sum + Math.max(0, node.tokens), 0));
    }));
  });

  it("hides what is inside of a folded span, and nothing else", () => {
    fc.assert(fc.property(anySpans, fc.nat(59), (nodes, fold) => {
      const outline = outlineOf(nodes);
      const tree = treeOf(outline);
      const folded = new Set([`s${fold}`]);
      const shown = shownOf(outline, tree, folded);
      const hidden = fold < nodes.length ? tree.span[tree.position[fold]!]! - 1 : 0;
      expect(shown.positions.length).toBe(nodes.length - hidden);
    }));
  });

  it("keeps the ancestors of what matches, and marks them", () => {
    fc.assert(fc.property(anySpans, (nodes) => {
      const outline = outlineOf(nodes);
      const tree = treeOf(outline);
      const shown = shownOf(outline, tree, new Set(), ["errors"]);
      const rows = new Set(Array.from(shown.positions, (at) => tree.order[at]!));
      shown.positions.forEach((at, index) => {
        const row = tree.order[at]!;
        expect(shown.context[index]).toBe(nodes[row]!.error ? 0 : 1);
        if (tree.depth[at]! > 0) expect(rows.has(outline.parent[row]!)).toBe(true);
      });
      nodes.forEach((node, row) => node.error && expect(rows.has(row)).toBe(true));
    }));
  });

  it("is read without recursion, however deep it is", () => {
    const deep = Array.from({ length: 70_000 }, (_, at): Node => (
      { id: `d${at}`, parent: at - 1, start: at, kind: 1, error: at === 69_999, tokens: 1 }));
    const outline = outlineOf(deep, 10_000);
    const tree = treeOf(outline);
    expect(tree.tokens[0]).toBe(70_000);
    expect(tree.errors[0]).toBe(1);
    expect(parents(outline, tree).size).toBe(69_999);
    expect(shownOf(outline, tree, new Set(["d0"])).positions.length).toBe(1);
  });
});

describe("an outline", () => {
  it("is the same after changes as if it was read at once", () => {
    fc.assert(fc.property(anySpans, anySpans, fc.array(fc.nat(70)), (first, second, gone) => {
      const sorted = (nodes: Node[]) => {
        const order = nodes.map((_, at) => at).sort((a, b) => nodes[a]!.start - nodes[b]!.start);
        const place = new Map(order.map((old, at) => [old, at]));
        return order.map((old) => ({ ...nodes[old]!, parent: place.get(nodes[old]!.parent) ?? -1 }));
      };
      const deleted = gone.map((at) => `s${at}`);
      const now = merged(outlineOf(sorted(first)), outlineOf(sorted(second)), deleted);
      const expected = new Map(first.map((node) => [node.id, node]));
      for (const id of deleted) expected.delete(id);
      for (const node of second) expected.set(node.id, node);
      expect(new Set(now.ids)).toEqual(new Set(expected.keys()));
      now.ids.forEach((id, row) => {
        const node = expected.get(id)!;
        expect(now.nameOf(row)).toBe(id);
        expect(now.kind[row]).toBe(node.kind);
        expect(now.baseMs + now.start[row]!).toBe(Date.parse("2026-01-01T00:00:00Z") + node.start);
        const nodes = second.some((other) => other.id === id) ? second : first;
        const parent = node.parent >= 0 ? nodes[node.parent]!.id : "";
        const known = now.parent[row]! >= 0 ? now.ids[now.parent[row]!] : now.otherParents.get(row) ?? "";
        if (expected.has(parent) || !parent) expect(known).toBe(parent);
        expect(row === 0 || now.start[row]! >= now.start[row - 1]!).toBe(true);
      });
    }));
  });

  it("finds names without regard to case, the next hit around the end, and an agent's last call", () => {
    const nodes: Node[] = ["Plan", "call", "plan b"].map((id, at) => (
      { id, parent: -1, start: at, kind: 2, error: false, tokens: 0 }));
    const outline = outlineOf(nodes);
    const tree = treeOf(outline);
    const found = namesWith(outline, "PLAN");
    expect([...found]).toEqual([0, 2]);
    expect(nextOf(tree, 2, 1, (row) => found.has(row))).toBe(0);
    expect(nextOf(tree, 0, -1, (row) => found.has(row))).toBe(2);
    expect(nextOf(tree, 0, 1, () => false)).toBe(-1);
    expect(previousCall(outline, 2)).toBe(1);
    expect(previousCall(outline, 0)).toBe(-1);
  });

  it("lays out 100,000 spans", () => {
    const many = Array.from({ length: 100_000 }, (_, at): Node => (
      { id: `m${at}`, parent: at ? (at - 1) >> 3 : -1, start: at, kind: 2, error: at % 997 === 0, tokens: 3 }));
    const outline = outlineOf(many, 10_000);
    const tree = treeOf(outline);
    expect(tree.tokens[0]).toBe(300_000);
    expect(shownOf(outline, tree, new Set(), ["errors"]).positions.length).toBeGreaterThan(100);
  });
});
