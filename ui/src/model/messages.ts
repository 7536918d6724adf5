/** What a model saw in one call and did not see in the one before. */

/** The number of equal elements at the beginning of both lists, by their JSON. */
export function commonStart(before: readonly unknown[], after: readonly unknown[]): number {
  const most = Math.min(before.length, after.length);
  let same = 0;
  while (same < most && stable(before[same]) === stable(after[same])) same++;
  return same;
}

/** JSON with the keys in order, so that equal values have equal texts. */
export function stable(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : part) ?? "";
}

export interface Attachment {
  digest: string;
  type: string;
  /** In bytes. */
  size: number;
}

/** Contents of fewer bytes are only in their span. */
const LEAST_ATTACHMENT = 4096;

/** The attachment that a mark of media refers to; null for any other address. */
export function attachmentOf(uri: string): Attachment | null {
  const found = /^attachment:sha256:([0-9a-f]{64})\?type=([^&]*)&size=(\d+)$/.exec(uri);
  const size = Number(found?.[3] ?? 0);
  if (!found || size < LEAST_ATTACHMENT) return null;
  try {
    return { digest: found[1]!, type: decodeURIComponent(found[2]!), size };
  } catch {
    return null;
  }
}

export interface Aligned<T> {
  a: T | null;
  b: T | null;
}

/** Two lists side by side: the longest common subsequence by key, the rest beside nothing. */
export function aligned<T>(
  a: readonly T[], b: readonly T[], key: (item: T) => string, most = 2000,
): Aligned<T>[] {
  const left = a.slice(0, most);
  const right = b.slice(0, most);
  const width = right.length + 1;
  const lengths = new Uint16Array((left.length + 1) * width);
  const ka = left.map(key);
  const kb = right.map(key);
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i * width + j] = ka[i] === kb[j]
        ? lengths[(i + 1) * width + j + 1]! + 1
        : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!);
    }
  }
  const rows: Aligned<T>[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    if (ka[i] === kb[j]) rows.push({ a: left[i++]!, b: right[j++]! });
    else if (lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!) {
      rows.push({ a: left[i++]!, b: null });
    } else rows.push({ a: null, b: right[j++]! });
  }
  while (i < left.length) rows.push({ a: left[i++]!, b: null });
  while (j < right.length) rows.push({ a: null, b: right[j++]! });
  return rows;
}
