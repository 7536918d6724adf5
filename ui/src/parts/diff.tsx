/** Two texts, word by word. */
import { useMemo } from "preact/hooks";
import { diffLines, diffWordsWithSpace } from "diff";

const MOST = 20_000;

export function Diff({ a, b }: { a: string; b: string }) {
  const parts = useMemo(() => (
    a.length + b.length > MOST ? diffLines(a, b) : diffWordsWithSpace(a, b)), [a, b]);
  if (a === b) return <pre class="diff dim">{a || "(nothing)"}</pre>;
  return (
    <pre class="diff" dir="auto">
      {parts.map((part, at) => part.added ? <ins key={at}>{part.value}</ins>
        : part.removed ? <del key={at}>{part.value}</del> : <span key={at}>{part.value}</span>)}
    </pre>
  );
}
