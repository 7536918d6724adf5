/** Traces as the columns of a table, for a Parquet file. */
import type { TraceSummaryJson } from "#api/query_pb";

type Type = "STRING" | "TIMESTAMP" | "DOUBLE" | "INT64" | "BOOLEAN";
type Value = string | number | bigint | boolean | null;

/** Column -> type and value. Names are those of the API; units are in the name. A TIMESTAMP counts
 * microseconds; a list is a text that is JSON. */
const COLUMNS: Record<string, [Type, (trace: TraceSummaryJson) => Value]> = {
  trace_id: ["STRING", (trace) => trace.traceId ?? ""],
  conversation_id: ["STRING", (trace) => trace.conversationId ?? ""],
  name: ["STRING", (trace) => trace.name ?? ""],
  feature: ["STRING", (trace) => trace.feature ?? ""],
  environment: ["STRING", (trace) => trace.environment ?? ""],
  experiment_id: ["STRING", (trace) => trace.experimentId ?? ""],
  origin: ["STRING", (trace) => trace.origin ?? ""],
  start_time: ["TIMESTAMP", (trace) => micros(trace.startTime)],
  end_time: ["TIMESTAMP", (trace) => micros(trace.endTime)],
  duration_seconds: ["DOUBLE", (trace) => trace.duration ? Number(trace.duration.slice(0, -1)) : null],
  status_code: ["STRING", (trace) => trace.status?.code ?? ""],
  status_message: ["STRING", (trace) => trace.status?.message ?? ""],
  span_count: ["INT64", (trace) => BigInt(trace.figures?.spanCount ?? 0)],
  error_count: ["INT64", (trace) => BigInt(trace.figures?.errorCount ?? 0)],
  model_call_count: ["INT64", (trace) => BigInt(trace.figures?.modelCallCount ?? 0)],
  tool_call_count: ["INT64", (trace) => BigInt(trace.figures?.toolCallCount ?? 0)],
  input_tokens: ["INT64", (trace) => BigInt(trace.figures?.inputTokens ?? 0)],
  output_tokens: ["INT64", (trace) => BigInt(trace.figures?.outputTokens ?? 0)],
  cost_usd: ["DOUBLE", (trace) => trace.figures?.costUsd === undefined
    ? null : Number(trace.figures.costUsd)],
  figures_are_lower_bounds: ["BOOLEAN", (trace) => trace.figuresAreLowerBounds ?? false],
  agent_names: ["STRING", (trace) => JSON.stringify(trace.agentNames ?? [])],
  models: ["STRING", (trace) => JSON.stringify(trace.models ?? [])],
  user_id: ["STRING", (trace) => trace.user?.id ?? ""],
  user_name: ["STRING", (trace) => trace.user?.name ?? ""],
  organization_id: ["STRING", (trace) => trace.organization?.id ?? ""],
  input_preview: ["STRING", (trace) => trace.inputPreview ?? ""],
  output_preview: ["STRING", (trace) => trace.outputPreview ?? ""],
  review_count: ["INT64", (trace) => BigInt(trace.reviews?.total ?? 0)],
  positive_review_count: ["INT64", (trace) => BigInt(trace.reviews?.positive ?? 0)],
  negative_review_count: ["INT64", (trace) => BigInt(trace.reviews?.negative ?? 0)],
};

/** Microseconds since 1970 of a time as protobuf writes it in JSON; finer digits are cut. */
export function micros(time: string | undefined): bigint | null {
  const found = /^(.*T[\d:]+)(?:\.(\d+))?Z$/.exec(time ?? "");
  if (!found) return null;
  const fraction = (found[2] ?? "").padEnd(6, "0").slice(0, 6);
  return BigInt(Date.parse(`${found[1]}Z`)) * 1000n + BigInt(fraction);
}

/** The bytes of a Parquet file with one row a trace. */
export async function parquetOf(traces: readonly TraceSummaryJson[]): Promise<ArrayBuffer> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  return parquetWriteBuffer({
    columnData: Object.entries(COLUMNS).map(([name, [, value]]) => (
      { name, data: traces.map(value) })),
    schema: [
      { name: "traces", num_children: Object.keys(COLUMNS).length },
      ...Object.entries(COLUMNS).map(([name, [type]]) => (
        { name, repetition_type: "OPTIONAL" as const, ...ELEMENTS[type] })),
    ],
  });
}

const ELEMENTS = {
  STRING: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  TIMESTAMP: { type: "INT64", converted_type: "TIMESTAMP_MICROS" },
  DOUBLE: { type: "DOUBLE" },
  INT64: { type: "INT64" },
  BOOLEAN: { type: "BOOLEAN" },
} as const;
