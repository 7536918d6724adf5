/** The columns of the list of traces: which there are, and which are shown. */

export interface Column {
  /** As the address has it. */
  name: string;
  label: string;
  /** The least width in pixels, and the share of the rest. */
  width: number;
  share: number;
  /** Whether it is not shown until somebody chooses it. */
  extra?: boolean;
}

export const COLUMNS: readonly Column[] = [
  { name: "status", label: "Status", width: 72, share: 0 },
  { name: "start", label: "Start", width: 84, share: 0 },
  { name: "name", label: "Name", width: 112, share: 1.3 },
  { name: "said", label: "Input → output", width: 160, share: 4 },
  { name: "model", label: "Model", width: 96, share: 1.2 },
  { name: "time", label: "Duration", width: 80, share: 0 },
  { name: "tokens", label: "Tokens", width: 96, share: 0 },
  { name: "cost", label: "Cost", width: 76, share: 0 },
  { name: "spans", label: "Spans", width: 64, share: 0 },
  { name: "user", label: "User", width: 72, share: 1 },
  { name: "session", label: "Session", width: 96, share: 1, extra: true },
  { name: "agent", label: "Agent", width: 96, share: 1, extra: true },
  { name: "feature", label: "Feature", width: 96, share: 1, extra: true },
  { name: "env", label: "Environment", width: 96, share: 1, extra: true },
  { name: "marks", label: "Feedback", width: 88, share: 0 },
];
// It has the link to the trace.
export const ALWAYS = "name";
const GAP = 12;
const PADDING = 8;

/** The columns that a text names, or those shown until somebody chooses. */
export function columnsOf(text: string): Column[] {
  const names = text.split(",");
  const chosen = COLUMNS.filter(({ name }) => names.includes(name));
  if (!chosen.length) return COLUMNS.filter(({ extra }) => !extra);
  return COLUMNS.filter(({ name }) => name === ALWAYS || names.includes(name));
}

/** The text of columns; "" for those that are shown until somebody chooses. */
export function columnsText(columns: readonly Column[]): string {
  const text = columns.map(({ name }) => name).join(",");
  return text === columnsOf("").map(({ name }) => name).join(",") ? "" : text;
}

/** The columns with one of them added or taken away, in the order in which they are shown. */
export function toggled(columns: readonly Column[], column: Column): Column[] {
  return COLUMNS.filter((one) => columns.includes(one) !== (one === column));
}

/** Values of `grid-template-columns` and `min-width` for rows of these columns. */
export function layoutOf(columns: readonly Column[]): { columns: string; width: string } {
  const width = columns.reduce((sum, one) => sum + one.width + GAP, 2 * PADDING - GAP);
  return {
    columns: columns
      .map((one) => (one.share ? `minmax(${one.width}px, ${one.share}fr)` : `${one.width}px`))
      .join(" "),
    width: `${width}px`,
  };
}
