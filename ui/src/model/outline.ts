/** The outline of a trace in typed arrays: one element a span, no object a span. */
import type { OutlineChunkJson } from "#api/query_pb";

export const KIND = ["step", "step", "model", "tool", "agent", "retrieval", "conversation",
  "function", "event"] as const;
export const KIND_MODEL = 2;
export const KIND_TOOL = 3;
export const ERROR = 2;

type Column = Float64Array | Int32Array | Uint32Array | Uint8Array;

/** Columns of spans, in the order in which the server sends them. They grow as chunks arrive. */
export class Outline {
  size = 0;
  baseMs = 0;
  readonly strings: string[] = [];
  readonly ids: string[] = [];
  parent = new Int32Array(0);
  name = new Uint32Array(0);
  kind = new Uint8Array(0);
  status = new Uint8Array(0);
  start = new Float64Array(0);
  duration = new Float64Array(0);
  agent = new Uint32Array(0);
  model = new Uint32Array(0);
  input = new Float64Array(0);
  output = new Float64Array(0);
  cost = new Float64Array(0);
  /** 1: the span's tokens and cost are those of another span as well. */
  repeated = new Uint8Array(0);
  reviewed = new Uint8Array(0);
  readonly otherParents = new Map<number, string>();
  private rows: Map<string, number> | null = null;

  add(chunk: OutlineChunkJson): void {
    const ids = chunk.spanIds ?? [];
    const first = this.size;
    if (first === 0 && chunk.baseTime) this.baseMs = Date.parse(chunk.baseTime);
    for (const text of chunk.strings ?? []) this.strings.push(text);
    for (const id of ids) this.ids.push(id);
    this.size += ids.length;
    this.parent = filled(this.parent, this.size, first, chunk.parentRows, -1);
    this.name = filled(this.name, this.size, first, chunk.names, 0);
    this.kind = filled(this.kind, this.size, first, chunk.kinds, 0);
    this.status = filled(this.status, this.size, first, chunk.statusCodes, 0);
    this.start = filled(this.start, this.size, first, chunk.startOffsetsMs as number[], 0);
    this.duration = filled(this.duration, this.size, first, chunk.durationsMs as number[], -1);
    this.agent = filled(this.agent, this.size, first, chunk.agents, 0);
    this.model = filled(this.model, this.size, first, chunk.models, 0);
    this.input = filled(this.input, this.size, first, chunk.inputTokens as number[], -1);
    this.output = filled(this.output, this.size, first, chunk.outputTokens as number[], -1);
    this.cost = filled(this.cost, this.size, first, chunk.costsUsd as number[], -1);
    this.repeated = filled(this.repeated, this.size, first, undefined, 0);
    this.reviewed = filled(this.reviewed, this.size, first, undefined, 0);
    for (const row of chunk.repeatedRows ?? []) this.repeated[Number(row)] = 1;
    for (const row of chunk.reviewedRows ?? []) this.reviewed[Number(row)] = 1;
    for (const [row, id] of Object.entries(chunk.otherParents ?? {})) {
      this.otherParents.set(Number(row), id);
    }
    this.rows = null;
  }

  text(index: number): string {
    return this.strings[index] ?? "";
  }

  nameOf(row: number): string {
    return this.text(this.name[row] ?? 0);
  }

  kindOf(row: number): (typeof KIND)[number] {
    return KIND[this.kind[row] ?? 0] ?? "step";
  }

  isError(row: number): boolean {
    return this.status[row] === ERROR;
  }

  /** The row of a span, or -1. */
  rowOf(id: string): number {
    this.rows ??= new Map(this.ids.map((known, row) => [known, row]));
    return this.rows.get(id) ?? -1;
  }

  /** The end of the latest span, in milliseconds after the base; open spans count by their start. */
  end(): number {
    let last = 0;
    for (let row = 0; row < this.size; row++) {
      last = Math.max(last, this.start[row]! + Math.max(0, this.duration[row]!));
    }
    return last;
  }
}

/** The outline after the changes that a response with a cursor has: spans replaced, added, deleted. */
export function merged(old: Outline, changes: Outline, deleted: readonly string[]): Outline {
  const gone = new Set(deleted);
  const rows: [Outline, number][] = [];
  for (let row = 0; row < old.size; row++) {
    const id = old.ids[row]!;
    if (!gone.has(id) && changes.rowOf(id) < 0) rows.push([old, row]);
  }
  for (let row = 0; row < changes.size; row++) rows.push([changes, row]);
  const at = ([from, row]: [Outline, number]) => from.baseMs + from.start[row]!;
  rows.sort((a, b) => at(a) - at(b));
  return fromRows(rows);
}

function fromRows(rows: [Outline, number][]): Outline {
  const base = rows.length ? rows[0]![0].baseMs + rows[0]![0].start[rows[0]![1]]! : 0;
  const newRow = new Map(rows.map(([from, row], index) => [from.ids[row]!, index]));
  const strings: string[] = [""];
  const indexes = new Map<string, number>([["", 0]]);
  const index = (text: string) => {
    const known = indexes.get(text);
    if (known !== undefined) return known;
    indexes.set(text, strings.length);
    strings.push(text);
    return strings.length - 1;
  };
  const column = <T>(of: (from: Outline, row: number) => T) => rows.map(([f, r]) => of(f, r));
  const parents = column((from, row) =>
    from.parent[row]! >= 0 ? from.ids[from.parent[row]!]! : from.otherParents.get(row) ?? "");
  const outline = new Outline();
  outline.add({
    baseTime: new Date(base).toISOString(),
    spanIds: column((f, r) => f.ids[r]!),
    parentRows: parents.map((id) => newRow.get(id) ?? -1),
    otherParents: Object.fromEntries(
      parents.map((id, row) => [row, id] as const).filter(([, id]) => id && !newRow.has(id)),
    ),
    names: column((f, r) => index(f.nameOf(r))),
    kinds: column((f, r) => f.kind[r]!),
    statusCodes: column((f, r) => f.status[r]!),
    startOffsetsMs: column((f, r) => f.baseMs + f.start[r]! - base),
    durationsMs: column((f, r) => f.duration[r]!),
    agents: column((f, r) => index(f.text(f.agent[r]!))),
    models: column((f, r) => index(f.text(f.model[r]!))),
    inputTokens: column((f, r) => f.input[r]!),
    outputTokens: column((f, r) => f.output[r]!),
    costsUsd: column((f, r) => f.cost[r]!),
    strings,
    repeatedRows: column((f, r) => f.repeated[r]!).flatMap((is, row) => (is ? [String(row)] : [])),
    reviewedRows: column((f, r) => f.reviewed[r]!).flatMap((is, row) => (is ? [String(row)] : [])),
  });
  return outline;
}

function filled<T extends Column>(
  old: T, size: number, first: number, values: readonly number[] | undefined, missing: number,
): T {
  const column = new (old.constructor as new (length: number) => T)(size);
  column.set(old.subarray(0, first) as never);
  if (values?.length) column.set(values as never, first);
  else if (missing) column.fill(missing as never, first);
  return column;
}
