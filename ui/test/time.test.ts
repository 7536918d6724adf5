import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { axisOf, FOLDED, gapsOf, LONG, rangeIn, rangeText, type Span } from "../src/model/axis";
import { criticalPath, isCritical } from "../src/model/critical";
import { Outline } from "../src/model/outline";
import { shownOf, treeOf } from "../src/model/tree";

type Row = readonly [parent: number, start: number, duration: number];

function outlineOf(rows: readonly Row[]): Outline {
  const outline = new Outline();
  outline.add({
    spanIds: rows.map((_, at) => `s${at}`),
    parentRows: rows.map(([parent]) => parent),
    startOffsetsMs: rows.map(([, start]) => start),
    durationsMs: rows.map(([, , duration]) => duration),
  });
  return outline;
}

/** Spans with any parents, cycles included; some open, some of no length. */
const anyRows = fc.array(fc.tuple(
  fc.integer({ min: -1, max: 40 }), fc.integer({ min: 0, max: 100 }), fc.integer({ min: -1, max: 60 }),
), { maxLength: 40 }).map((rows) => rows.map(([parent, start, duration]): Row => (
  [parent < rows.length ? parent : -1, start, duration])));

function pathOf(rows: readonly Row[], now: number | null = null) {
  const outline = outlineOf(rows);
  const tree = treeOf(outline);
  return { outline, tree, path: criticalPath(outline, tree, now) };
}

describe("the critical path", () => {
  it("has of spans side by side the one that ends last, and what ran before it", () => {
    const { path } = pathOf([
      [-1, 0, 100], // the agent
      [0, 10, 20], // 10 to 30: before the slower of two
      [0, 30, 10], // 30 to 40: another one ends later
      [0, 35, 45], // 35 to 80
      [3, 40, 40], // 40 to 80, inside of it
    ]);
    expect([...path.from]).toEqual([0, 10, NaN, 35, 40]);
    expect([...path.to]).toEqual([100, 30, NaN, 80, 80]);
    expect([...path.own]).toEqual([35, 20, 0, 5, 40]);
  });

  it("counts a span that outlives its parent until that ends, and an open one as it is drawn", () => {
    expect([...pathOf([[-1, 0, 50], [0, 20, 100]]).path.to]).toEqual([50, 50]);
    expect([...pathOf([[-1, 0, -1], [0, 20, 30]]).path.to]).toEqual([50, 50]);
    expect([...pathOf([[-1, 0, -1], [0, 20, 30]], 90).path.own]).toEqual([60, 30]);
    expect([...pathOf([[-1, 0, 50], [0, 20, -1]]).path.own]).toEqual([50, 0]);
  });

  it("is a chain without overlaps, below spans that are on it", () => {
    fc.assert(fc.property(anyRows, fc.option(fc.integer({ min: 0, max: 200 })), (rows, now) => {
      const { outline, tree, path } = pathOf(rows, now);
      const inside = new Map<number, number[]>();
      for (let at = 0; at < rows.length; at++) {
        const row = tree.order[at]!;
        if (!isCritical(path, row)) {
          expect(path.own[row]).toBe(0);
          continue;
        }
        expect(path.from[row]).toBeGreaterThanOrEqual(outline.start[row]!);
        expect(path.to[row]).toBeGreaterThan(path.from[row]!);
        const around = tree.depth[at]! > 0 ? outline.parent[row]! : -1;
        if (around >= 0) {
          expect(path.from[row]).toBeGreaterThanOrEqual(path.from[around]!);
          expect(path.to[row]).toBeLessThanOrEqual(path.to[around]!);
        }
        inside.set(around, [...inside.get(around) ?? [], row]);
      }
      for (const [around, members] of inside) {
        members.sort((a, b) => path.from[a]! - path.from[b]!);
        members.forEach((row, at) => at && expect(path.from[row])
          .toBeGreaterThanOrEqual(path.to[members[at - 1]!]!));
        if (around < 0) continue;
        const covered = members.reduce((sum, row) => sum + path.to[row]! - path.from[row]!, 0);
        expect(path.own[around]! + covered).toBeCloseTo(path.to[around]! - path.from[around]!, 6);
      }
    }));
  });

  it("can be shown alone, and is found in 100,000 spans, however they are nested", () => {
    const shapes: ((at: number) => Row)[] = [
      (at) => [at ? 0 : -1, at, at ? 1 : 100_000],
      (at) => [at - 1, at, 200_000 - 2 * at],
      (at) => [at ? (at - 1) >> 3 : -1, at, 100_000 - at],
    ];
    for (const shape of shapes) {
      const { outline, tree, path } = pathOf(Array.from({ length: 100_000 }, (_, at) => shape(at)));
      const shown = shownOf(outline, tree, new Set(), ["critical"], { found: new Set(), critical: path });
      const marked = Array.from(outline.start.keys()).filter((row) => isCritical(path, row));
      expect(shown.positions.length).toBe(marked.length);
      expect(path.own.reduce((sum, own) => sum + own, 0)).toBeCloseTo(path.to[0]! - path.from[0]!, 3);
    }
  });
});

describe("the axis", () => {
  it("folds the times in which nothing ran, if they are long", () => {
    const outline = outlineOf([[-1, 0, 10], [-1, 12, 8], [-1, 90, 10]]);
    expect(gapsOf(outline, 100, false)).toEqual([[20, 90]]);
    expect(gapsOf(outlineOf([[-1, 90, 10], [-1, 0, 10]]), 100, false)).toEqual([[10, 90]]);
    expect(gapsOf(outlineOf([[-1, 0, -1], [-1, 90, 10]]), 100, true)).toEqual([]);
    const axis = axisOf(0, 100, [[20, 90]]);
    expect(axis.at(20)).toBeCloseTo((20 / 30) * (1 - FOLDED));
    expect(axis.at(90) - axis.at(20)).toBeCloseTo(FOLDED);
    expect(axis.ms(axis.at(95))).toBeCloseTo(95);
    expect(axisOf(30, 40, [[20, 90]]).gaps).toEqual([]);
    expect(axisOf(10, 40, [[20, 90]]).gaps).toEqual([[20, 40]]);
  });

  it("rises from one end to the other, and leads back", () => {
    const anyAxis = fc.tuple(anyRows, fc.nat(150), fc.nat(150)).map(([rows, a, b]) => {
      const outline = outlineOf(rows);
      const end = outline.end();
      const gaps = gapsOf(outline, end, false);
      for (const [from, to] of gaps) expect(to - from).toBeGreaterThan(end * LONG);
      return axisOf(Math.min(a, b), Math.max(a, b), gaps);
    });
    fc.assert(fc.property(anyAxis, fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (axis, shares) => {
      expect(axis.at(axis.from - 1)).toBe(0);
      expect(axis.at(Math.max(axis.to, axis.from + 0.001) + 1)).toBeLessThanOrEqual(1 + 1e-9);
      if (axis.to > axis.from) expect(axis.at(axis.to)).toBeCloseTo(1);
      let before = -Infinity;
      for (const share of [...shares].sort((a, b) => a - b)) {
        const ms = axis.ms(share);
        expect(ms).toBeGreaterThanOrEqual(before);
        before = ms;
        if (axis.to > axis.from) expect(axis.at(ms)).toBeCloseTo(share, 6);
      }
    }));
  });

  it("has its range in the address", () => {
    const times = fc.double({ min: 0, max: 1e9, noNaN: true });
    fc.assert(fc.property(times, times, (from, to) => {
      const text = rangeText(from, to);
      const read: Span | null = rangeIn(text);
      if (to - from < 0.002) return;
      expect(read![0]).toBeCloseTo(from, 2);
      expect(read![1]).toBeCloseTo(to, 2);
    }));
    for (const text of ["", "5", "5-5", "7-2", "-1-5", "1e3-2e9", "a-b", "1-2-3"]) {
      expect(rangeIn(text)).toBeNull();
    }
    expect(rangeText(5, 5)).toBe("");
    expect(rangeText(-3, 100)).toBe("0-100");
  });
});
