/** Texts and JSON values as they were sent: nothing of them becomes HTML. */
import { useState } from "preact/hooks";
import type { TextCutJson } from "#api/span_pb";
import type { ReadSpanTextResponseJson } from "#api/span_service_pb";
import { call, path } from "../api";
import { count, revealed } from "../model/format";
import { markdown, reveal } from "../settings";
import { Markdown } from "./markdown";
import { Hidden, save } from "./small";

export interface Where {
  traceId: string;
  spanId: string;
}

const FOLD = 1600;
const MOST_MARKDOWN = 200_000;
const STEP = 262_144;

/** A text, whole or its beginning: what is missing is stated, and can be read on. */
export function Text({ text, cut, where }: { text: string; cut?: TextCutJson; where?: Where }) {
  const [more, setMore] = useState("");
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const whole = text + more;
  const isLong = whole.length > FOLD || whole.split("\n", 31).length > 30;
  const shown = isLong && !open && !more
    ? whole.split("\n").slice(0, 24).join("\n").slice(0, FOLD) : whole;
  const points = cut ? Array.from(whole).length : 0;
  const left = cut ? Number(cut.length) - points : 0;

  const read = async (offset: number) => call<ReadSpanTextResponseJson>(
    `${path`/v1/traces/${where!.traceId}/spans/${where!.spanId}`}:readText`,
    { path: cut!.path, offset, limit: STEP },
  );
  const next = async () => {
    setBusy(true);
    try {
      const part = await read(points);
      setMore(more + (part.text ?? ""));
      setFailure("");
    } catch (error) {
      setFailure(String(error instanceof Error ? error.message : error));
    }
    setBusy(false);
  };
  const download = async () => {
    const parts: string[] = [];
    for (let at = 0; ;) {
      const part = await read(at);
      parts.push(part.text ?? "");
      at += Array.from(part.text ?? "").length;
      if (!part.text || at >= Number(part.length)) break;
    }
    save(`${where!.spanId}-${cut!.path}.txt`, "text/plain;charset=utf-8", parts);
  };
  return (
    <div class="text">
      {markdown.value && shown.length <= MOST_MARKDOWN
        ? <Markdown text={reveal.value ? revealed(shown) : shown} />
        : <pre dir="auto">{reveal.value ? revealed(shown) : shown}</pre>}
      <div class="text-foot">
        {isLong && !more && (
          <button type="button" class="small" onClick={() => setOpen(!open)} aria-expanded={open}>
            {open ? "Fold" : `Show all ${count(whole.length)} characters`}
          </button>
        )}
        {cut && left > 0 && where && (
          <>
            <span class="dim">{count(points)} of {count(cut.length)} characters</span>
            <button type="button" class="small" disabled={busy} onClick={() => void next()}>
              Read on
            </button>
            <button type="button" class="small" onClick={() => void download()}>Download all</button>
          </>
        )}
        <Hidden text={whole} />
        {failure && <span class="bad">{failure}</span>}
      </div>
    </div>
  );
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON value as a tree that is drawn as far as it is open. */
export function JsonView(
  { value, cuts, where, at = "", depth = 0 }:
  { value: unknown; cuts?: readonly TextCutJson[]; where?: Where; at?: string; depth?: number },
) {
  const json = value as Json;
  const cut = cuts?.find((known) => known.field === at);
  if (typeof json === "string") {
    const parsed = json.length < MOST_MARKDOWN ? embedded(json) : null;
    if (parsed !== null && !cut) {
      return <JsonView value={parsed} depth={depth} />;
    }
    if (depth > 0 && json.length < 80 && !json.includes("\n") && !cut) {
      return <span class="json-string"><bdi>{reveal.value ? revealed(json) : json}</bdi></span>;
    }
    return <Text text={json} cut={cut} where={where} />;
  }
  if (json === null || typeof json !== "object") return <span class="json-atom">{String(json)}</span>;
  const entries = Object.entries(json);
  if (!entries.length) return <span class="json-atom">{Array.isArray(json) ? "[ ]" : "{ }"}</span>;
  return <Branch entries={entries} isList={Array.isArray(json)}
    cuts={cuts} where={where} at={at} depth={depth} />;
}

const FIRST = 100;

function Branch(
  { entries, isList, cuts, where, at, depth }:
  { entries: [string, Json][]; isList: boolean; cuts?: readonly TextCutJson[]; where?: Where;
    at: string; depth: number },
) {
  const [most, setMost] = useState(FIRST);
  return (
    <div class="json">
      {entries.slice(0, most).map(([key, child]) => {
        const isBranch = child !== null && typeof child === "object" && Object.keys(child).length > 0;
        const inner = `${at}.${/[.`]/.test(key) ? `\`${key.replaceAll("`", "``")}\`` : key}`;
        const view = () => (
          <JsonView value={child} cuts={cuts} where={where} at={inner} depth={depth + 1} />
        );
        return isBranch && depth > 0
          ? <Fold key={key} name={isList ? `[${key}]` : key} hint={hint(child)} view={view} />
          : (
            <div key={key} class={isBranch ? "json-row block" : "json-row"}>
              <span class="json-key"><bdi>{isList ? `[${key}]` : key}</bdi></span>
              {view()}
            </div>
          );
      })}
      {entries.length > most && (
        <button type="button" class="small" onClick={() => setMost(most + 1000)}>
          {count(entries.length - most)} more
        </button>
      )}
    </div>
  );
}

function Fold({ name, hint, view }: { name: string; hint: string; view: () => preact.JSX.Element }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="json-fold" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary><span class="json-key"><bdi>{name}</bdi></span> <span class="dim">{hint}</span></summary>
      {open && view()}
    </details>
  );
}

function hint(value: Json): string {
  if (Array.isArray(value)) return `[${value.length}]`;
  return `{ ${Object.keys(value as object).slice(0, 4).join(", ")} }`;
}

/** A JSON object or list inside a string, as tools send it; null for any other string. */
function embedded(text: string): Json | null {
  if (!/^\s*[[{]/.test(text) || !/[\]}]\s*$/.test(text)) return null;
  try {
    const value = JSON.parse(text) as Json;
    // Digits that a double does not hold would be changed: then the text is shown as it is.
    return typeof value === "object" && !/[^"\w.-]-?\d{16,}/.test(text) ? value : null;
  } catch {
    return null;
  }
}
