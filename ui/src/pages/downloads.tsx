/** Downloads of a list of traces, all pages of it. */
import { useState } from "preact/hooks";
import type { TraceSummaryJson } from "#api/query_pb";
import type { ListTraceSummariesResponseJson } from "#api/query_service_pb";
import { call, project } from "../api";
import { count } from "../model/format";
import { save, say } from "../parts/small";

type Encode = (traces: TraceSummaryJson[]) => BlobPart[] | Promise<BlobPart[]>;

const MOST = 100_000;
const FORMATS: [name: string, suffix: string, type: string, encode: Encode][] = [
  ["JSON", "json", "application/json", (traces) => [JSON.stringify(traces, null, 1)]],
  ["JSONL", "jsonl", "application/x-ndjson",
    (traces) => traces.map((trace) => `${JSON.stringify(trace)}\n`)],
  ["Parquet", "parquet", "application/vnd.apache.parquet",
    async (traces) => [await (await import("../model/table")).parquetOf(traces)]],
];

export function Downloads({ filter, disabled }: { filter: object; disabled: boolean }) {
  const [busy, setBusy] = useState(false);
  const all = async ([name, suffix, type, encode]: (typeof FORMATS)[number]) => {
    setBusy(true);
    const traces: TraceSummaryJson[] = [];
    let pageToken: string | undefined;
    try {
      do {
        const found: ListTraceSummariesResponseJson = await call("/v1/traceSummaries", {
          filter, pageSize: 1000, pageToken,
        });
        traces.push(...(found.traceSummaries ?? []));
        pageToken = found.nextPageToken || undefined;
        say(`${count(traces.length)} traces`);
      } while (pageToken && traces.length < MOST);
      save(`traces-${project()}.${suffix}`, type, await encode(traces));
      say(pageToken
        ? `The file has the first ${count(traces.length)} traces.`
        : `${count(traces.length)} traces downloaded as ${name}`);
    } catch (error) {
      say(`The download failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    setBusy(false);
  };
  return (
    <details class="menu">
      <summary class="button small">Download</summary>
      <div class="menu-list">
        {FORMATS.map((format) => (
          <button key={format[0]} type="button" disabled={busy || disabled}
            onClick={() => void all(format)}>Download {format[0]}</button>
        ))}
      </div>
    </details>
  );
}
