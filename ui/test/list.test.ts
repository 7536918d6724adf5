import fc from "fast-check";
import { parquetReadObjects } from "hyparquet";
import { describe, expect, it } from "vitest";
import type { TraceSummaryJson } from "#api/query_pb";
import { ALWAYS, COLUMNS, columnsOf, columnsText, layoutOf, toggled } from "../src/model/columns";
import { micros, parquetOf } from "../src/model/table";

describe("columns of the list", () => {
  const chosen = fc.subarray([...COLUMNS]).map((columns) => (
    COLUMNS.filter((one) => columns.includes(one) || one.name === ALWAYS)));

  it("are in the address, in one order, with the link to the trace", () => {
    fc.assert(fc.property(chosen, (columns) => {
      expect(columnsOf(columnsText(columns))).toEqual(columns);
      const backwards = [...columns].reverse().map(({ name }) => name).join(",");
      expect(columnsOf(backwards)).toEqual(columns);
    }));
    expect(columnsOf("cost").map(({ name }) => name)).toEqual([ALWAYS, "cost"]);
    expect(columnsText(columnsOf(""))).toBe("");
    fc.assert(fc.property(fc.string(), (text) => {
      expect(columnsOf(text).map(({ name }) => name)).toContain(ALWAYS);
    }));
  });

  it("can be added and taken away", () => {
    fc.assert(fc.property(chosen, fc.constantFrom(...COLUMNS), (columns, column) => {
      expect(toggled(columns, column).includes(column)).toBe(!columns.includes(column));
      expect(toggled(toggled(columns, column), column)).toEqual(columns);
      expect(layoutOf(columns).columns.match(/px/g)).toHaveLength(columns.length);
    }));
  });
});

describe("a Parquet file", () => {
  it("has what the list has", async () => {
    const texts = fc.string({ unit: "grapheme" });
    const numbers = fc.bigInt({ min: 0n, max: 2n ** 62n });
    const times = fc.date({ min: new Date(0), max: new Date("9999-12-31"), noInvalidDate: true });
    const anyTrace = fc.record({
      traceId: texts, name: texts, at: times, tokens: numbers, models: fc.array(texts),
      cost: fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })),
    });
    await fc.assert(fc.asyncProperty(fc.array(anyTrace, { maxLength: 20 }), async (values) => {
      const traces = values.map(({ at, tokens, cost, ...rest }): TraceSummaryJson => ({
        ...rest, startTime: at.toISOString(),
        figures: { inputTokens: String(tokens), ...(cost === null ? {} : { costUsd: cost }) },
      }));
      const rows = await parquetReadObjects({ file: await parquetOf(traces) });
      expect(rows.length).toBe(values.length);
      rows.forEach((row, at) => {
        const { traceId, name, tokens, models, cost } = values[at]!;
        expect(row).toMatchObject({
          trace_id: traceId, name, input_tokens: tokens, start_time: values[at]!.at,
          end_time: null, models: JSON.stringify(models), span_count: 0n,
        });
        if (cost === null) expect(row["cost_usd"]).toBeNull();
        else expect(row["cost_usd"]).toBe(cost);
      });
    }), { numRuns: 40 });
  });

  it("keeps the microseconds of a time", () => {
    expect(micros("2026-01-01T00:00:00.123456789Z")).toBe(1_767_225_600_123_456n);
    expect(micros("2026-01-01T00:00:00.5Z")).toBe(1_767_225_600_500_000n);
    expect(micros("1969-12-31T23:59:59.25Z")).toBe(-750_000n);
    expect(micros(undefined)).toBeNull();
  });
});
