import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { absolute, ago, cost, duration, hiddenCount, ms, revealed, short } from "../src/model/format";
import {
  chipsOf, filterOf, parameters, rangeOf, withCondition, withoutCondition,
} from "../src/model/filters";
import { aligned, attachmentOf, commonStart, stable } from "../src/model/messages";
import { transcript } from "../src/pages/markdown";

describe("attachments", () => {
  const digest = "0123456789abcdef".repeat(4);
  const uri = (rest: string) => attachmentOf(`attachment:sha256:${digest}?${rest}`);

  it("are what marks of long contents refer to", () => {
    expect(uri("type=image/svg%2Bxml&size=5000")).toEqual({ digest, type: "image/svg+xml", size: 5000 });
    expect(uri("type=image/png&size=70")).toBeNull();
    expect(uri("type=%&size=5000")).toBeNull();
    expect(attachmentOf(`https://example.com/attachment:sha256:${digest}`)).toBeNull();
    expect(attachmentOf(`attachment:sha256:../${digest.slice(3)}?type=image/png&size=5000`)).toBeNull();
  });
});

describe("format", () => {
  it("writes durations as people read them", () => {
    expect([0.42, 9, 120, 999.6, 1250, 59_960, 125_000, 3_780_000].map(duration)).toEqual(
      ["0.4 ms", "9 ms", "120 ms", "1.00 s", "1.25 s", "1 min 0 s", "2 min 5 s", "1 h 3 min"]);
    expect(duration(-1)).toBe("");
    expect(ms("1.250s")).toBe(1250);
    expect(ms(undefined)).toBe(-1);
  });

  it("writes costs without hiding small ones", () => {
    expect([undefined, 0, 0.00001, 0.00021, 0.034, 0.5, 1.5, 12_345.6].map(cost)).toEqual(
      ["", "$0", "<$0.0001", "$0.00021", "$0.034", "$0.5", "$1.50", "$12,346"]);
    expect(short(9_999)).toBe("9,999");
    expect(short("1234567")).toBe("1.2M");
  });

  it("states the offset of a time", () => {
    expect(absolute("2026-03-01T12:00:00.500Z", "utc")).toBe("2026-03-01 12:00:00.500 +00:00");
    expect(absolute("2026-03-01T12:00:00Z", "local")).toMatch(/ [+-]\d\d:\d\d$/);
    expect(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T02:00:00Z"))).toBe("2 h ago");
  });

  it("shows every character that is not seen", () => {
    expect(revealed("a\u200b\u202e\u{e0041}b\n")).toBe("a⟨U+200B⟩⟨U+202E⟩⟨U+E0041⟩b\n");
    expect(hiddenCount("plain\ttext\nä 漢 🙂")).toBe(0);
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(hiddenCount(revealed(text))).toBe(0);
    }));
  });
});

describe("filters", () => {
  const now = Date.parse("2026-11-28T00:00:00Z");

  it("are the conditions of the address", () => {
    const query = new URLSearchParams(
      "last=1h&name=a&user=u&error=1&review=0&status=error&min_ms=2500&min_cost=0.5&min_tokens=10.7"
      + "&attr=a%3Db&attr=c&attr=d%3D1&origin=SPAN_ORIGIN_SPANS");
    expect(filterOf(query, now)).toEqual({
      startTimeFrom: "2026-11-27T23:00:00.000Z", name: "a", userId: "u", hasError: true,
      hasReview: false, statusCode: "STATUS_CODE_ERROR", minDuration: "2.5s", minCostUsd: 0.5,
      minTokens: "10", attributes: ["a=b", "d=1"], origins: ["SPAN_ORIGIN_SPANS"],
    });
    expect(rangeOf(new URLSearchParams("last=all"), now)).toEqual({ from: null, to: null });
    expect(rangeOf(new URLSearchParams("from=2026-01-01T00:00:00Z&to=x"), now))
      .toEqual({ from: Date.parse("2026-01-01T00:00:00Z"), to: null });
  });

  it("can be added and taken away, whatever their text", () => {
    const names = fc.constantFrom("name", "user", "attr", "text", "model");
    fc.assert(fc.property(names, fc.string({ minLength: 1, unit: "grapheme" }), (name, value) => {
      const query = new URLSearchParams("last=1h");
      const more = new URLSearchParams(withCondition(query, name, value).toString());
      expect(chipsOf(more)).toEqual([[name, value]]);
      expect(withoutCondition(more, name, value).toString()).toBe("last=1h");
    }));
  });

  it("become query parameters of REST", () => {
    expect(parameters({ pageSize: 5, filter: { name: "a b", origins: ["X", "Y"], hasError: false }, x: undefined }))
      .toEqual([["pageSize", "5"], ["filter.name", "a b"], ["filter.origins", "X"],
        ["filter.origins", "Y"], ["filter.hasError", "false"]]);
  });
});

describe("messages", () => {
  it("know what is new, regardless of the order of keys", () => {
    expect(commonStart([{ a: 1, b: 2 }, { c: 3 }], [{ b: 2, a: 1 }, { c: 4 }])).toBe(1);
    expect(commonStart([], [1])).toBe(0);
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(stable(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }));
  });

  it("are aligned without losing one", () => {
    const list = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 30 });
    fc.assert(fc.property(list, list, (a, b) => {
      const rows = aligned(a, b, (item) => item);
      expect(rows.flatMap((row) => (row.a === null ? [] : [row.a]))).toEqual(a);
      expect(rows.flatMap((row) => (row.b === null ? [] : [row.b]))).toEqual(b);
      for (const row of rows) if (row.a !== null && row.b !== null) expect(row.a).toBe(row.b);
    }));
  });

  it("are Markdown whose fences hold", () => {
    const text = transcript({ name: "run" }, [
      { user: { text: "Hi" } },
      { toolCall: { name: "t", arguments: { a: 1 }, result: "x ```` y" },
        status: { code: "STATUS_CODE_ERROR", message: "failed" } },
      { response: { text: "Done" } },
    ], "http://x/ui/", false);
    expect(text).toContain("## User\n\nHi");
    expect(text).toContain("`````\nx ```` y\n`````");
    expect(text).toContain("**Error:** failed");
  });
});
