/** One trace: chat, waterfall and span, side by side and linked. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { GetTraceOutlineResponseJson, GetTraceSummaryResponseJson } from "#api/query_service_pb";
import { ApiError, call, lines, path, project, useLoad, usePoll } from "../api";
import { useKeys } from "../keys";
import { gapsOf } from "../model/axis";
import { criticalPath } from "../model/critical";
import { ERROR, merged, Outline } from "../model/outline";
import { namesWith, nextOf, parents, shownOf, treeOf, type Only, type Tree } from "../model/tree";
import { Failed, say, Sent, stateOf, title, Waiting } from "../parts/small";
import { change, go, place, to } from "../place";
import { markdown } from "../settings";
import { Chat } from "./chat";
import { judge } from "./reviews";
import { SpanView } from "./span";
import { Find, useFind } from "./trace_find";
import { copyLink, Head } from "./trace_head";
import { lastList, take } from "./traces";
import { AXES } from "./minimap";
import { Waterfall } from "./waterfall";

const VIEWS = ["chat", "spans", "detail"] as const;
type View = (typeof VIEWS)[number];
const NAMES: Record<View, string> = { chat: "Chat", spans: "Spans", detail: "Span" };
// After so long without a change, a running trace is no longer asked for.
const PATIENCE = 10 * 60_000;

interface Shape {
  outline: Outline;
  cursor: string;
}

export function TracePage() {
  const { path: at, query } = place.value;
  const traceId = at.slice(3).join("/");
  const key = `${project()}/${traceId}`;
  const summary = useLoad(key, async (signal) => (await call<GetTraceSummaryResponseJson>(
    path`/v1/traces/${traceId}/summary`, {}, { signal })).traceSummary ?? {});
  const { shape, failure, complete, reload } = useOutline(key, traceId);
  const trace = summary.data;
  const isRunning = trace !== null && stateOf(trace) === "running";
  const changes = useChanges(key, traceId, isRunning, shape, reload, summary.reload);

  const outline = changes.outline ?? shape?.outline ?? null;
  const tree = useMemo(() => (outline ? treeOf(outline) : null), [outline, outline?.size]);
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [noteOpen, setNoteOpen] = useState(false);
  useEffect(() => setFolded(new Set()), [key]);

  const find = query.get("find") ?? "";
  const search = useFind(key, traceId, find);
  const found = useMemo(() => {
    if (!outline || !find) return new Set<number>();
    const rows = namesWith(outline, find);
    for (const id of search.spanIds) rows.add(outline.rowOf(id));
    rows.delete(-1);
    return rows;
  }, [outline, outline?.size, find, search.spanIds]);
  const nowMs = isRunning && outline ? Date.now() - outline.baseMs : null;
  const end = outline ? Math.max(outline.end(), nowMs ?? 0) : 0;
  const gaps = useMemo(
    () => (outline && complete ? gapsOf(outline, end, isRunning) : []), [tree, complete, isRunning]);
  const critical = useMemo(
    () => (outline && tree && complete ? criticalPath(outline, tree, nowMs) : null),
    [tree, complete, isRunning]);
  const only = (query.get("only") ?? "").split(",").filter(Boolean) as Only[];
  const shown = useMemo(
    () => (outline && tree ? shownOf(outline, tree, folded, only, { found, critical }) : null),
    [outline, tree, folded, only.join(), found, critical],
  );

  const spanId = query.get("span") ?? "";
  const row = outline ? outline.rowOf(spanId) : -1;
  // Until something is selected: what failed first and deepest, else the whole.
  const shownId = spanId || (outline && tree && complete ? firstOf(outline, tree) : "");
  title(trace?.name, trace ? stateOf(trace) : undefined);

  const select = (next: number, push = false) => {
    if (!outline || next < 0) return;
    const id = outline.ids[next]!;
    unfoldTo(next);
    change({ span: id }, push);
  };
  const unfoldTo = (next: number) => {
    const open = new Set(folded);
    for (let up = outline!.parent[next]!; up >= 0; up = outline!.parent[up]!) {
      if (!open.delete(outline!.ids[up]!) && open.size === 0) break;
    }
    if (open.size !== folded.size) setFolded(open);
  };
  const toggle = (id: string) => {
    const next = new Set(folded);
    if (!next.delete(id)) next.add(id);
    setFolded(next);
  };
  const index = shown && tree && row >= 0 ? indexOf(shown.positions, tree.position[row]!) : -1;
  const move = (step: number) => {
    if (!shown || !tree || !shown.positions.length) return;
    const last = shown.positions.length - 1;
    const next = index < 0 ? 0 : Math.max(0, Math.min(last, index + step));
    select(tree.order[shown.positions[next]!]!);
  };
  const jump = (step: 1 | -1, wanted: (row: number) => boolean, none: string) => {
    if (!tree) return;
    const next = nextOf(tree, row >= 0 ? tree.position[row]! : -1, step, wanted);
    if (next < 0) say(none);
    else select(next, true);
  };
  const neighbour = (step: number) => {
    const { ids } = lastList.value;
    const next = ids[ids.indexOf(traceId) + step];
    if (ids.indexOf(traceId) < 0 || next === undefined) say("no more traces in the list");
    else go(to(["p", project(), "traces", next]));
  };

  const views = viewsOf(query.get("view"));
  const toggleView = (view: View) => {
    const next = VIEWS.filter((one) => views.includes(one) !== (one === view));
    change({ view: next.length === VIEWS.length ? null : next.join(",") || "chat" });
  };
  const allIds = () => (outline && tree ? parents(outline, tree) : new Set<string>());
  const target = { traceId, spanId: row >= 0 ? spanId : undefined };
  const isError = (one: number) => outline!.status[one] === ERROR;
  useKeys({
    j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
    ArrowRight: () => {
      if (row < 0) return;
      if (folded.has(spanId)) toggle(spanId);
      else move(1);
    },
    ArrowLeft: () => {
      if (row < 0 || !tree) return;
      if (tree.span[tree.position[row]!]! > 1 && !folded.has(spanId)) toggle(spanId);
      else select(outline!.parent[row]!);
    },
    "]": () => neighbour(1), "[": () => neighbour(-1),
    e: () => jump(1, isError, "no span failed"), E: () => jump(-1, isError, "no span failed"),
    n: () => jump(1, (one) => found.has(one), "nothing is found"),
    N: () => jump(-1, (one) => found.has(one), "nothing is found"),
    "/": () => document.getElementById("find")?.focus(),
    o: () => setFolded(folded.size ? new Set() : allIds()),
    ".": () => change({ only: only.includes("errors") ? null : "errors" }),
    z: () => {
      const axes = AXES.filter(([range]) => range !== "span" || row >= 0);
      const now = axes.findIndex(([range]) => range === (query.get("range") ?? ""));
      const [range, name] = axes[(now + 1) % axes.length]!;
      change({ range });
      say(`time axis: ${name}`);
    },
    c: () => toggleView("chat"), w: () => toggleView("spans"), d: () => toggleView("detail"),
    r: () => { markdown.value = !markdown.value; },
    y: () => void copyLink(),
    x: () => take(traceId),
    "+": () => void judge(target, 1).then(summary.reload),
    "-": () => void judge(target, 0).then(summary.reload),
    m: () => setNoteOpen(true),
    Escape: () => change({ span: null }),
  });

  if (summary.error && !trace) {
    return (
      <div class="prose-page">
        <h1>Trace <Sent text={traceId} /></h1>
        <Failed error={summary.error} retry={summary.reload} />
      </div>
    );
  }
  return (
    <div class="trace">
      {trace ? (
        <Head trace={trace} outline={outline} changedAt={changes.at}
          onError={() => jump(1, isError, "no span failed")}
          target={target} noteOpen={noteOpen} setNoteOpen={setNoteOpen} reload={summary.reload} />
      ) : <Waiting lines={2} />}
      <div class="bar" role="toolbar" aria-label="Views">
        {VIEWS.map((view) => (
          <button key={view} type="button" class="toggle" aria-pressed={views.includes(view)}
            onClick={() => toggleView(view)}>{NAMES[view]}</button>
        ))}
        <span class="grow" />
        <button type="button" class="toggle" aria-pressed={markdown.value}
          onClick={() => { markdown.value = !markdown.value; }}>Markdown</button>
        <Find find={find} hits={found.size} search={search}
          next={(step) => jump(step, (one) => found.has(one), "nothing is found")} />
      </div>
      {failure && <Failed error={failure} retry={reload} />}
      <div class={`panes show-${views.length}`}>
        {views.includes("chat") && (
          <section class="pane chat-pane" aria-label="Chat">
            <Chat source={{ traceId }} version={changes.turn} selected={spanId}
              select={(id) => {
                const next = outline?.rowOf(id) ?? -1;
                if (next >= 0) select(next, true);
              }} />
          </section>
        )}
        {views.includes("spans") && (
          <section class="pane spans-pane" aria-label="Spans">
            {outline && tree && shown ? (
              <Waterfall outline={outline} tree={tree} shown={shown} folded={folded} row={row}
                active={index} found={found} only={only} critical={critical} gaps={gaps}
                end={end} select={select} toggle={toggle} running={isRunning}
                foldAll={() => setFolded(folded.size ? new Set() : allIds())} complete={complete} />
            ) : !failure && <Waiting lines={12} />}
          </section>
        )}
        {views.includes("detail") && (
          <section class="pane detail-pane" aria-label="Span">
            {shownId
              ? <SpanView key={shownId} traceId={traceId} spanId={shownId} outline={outline}
                version={changes.turn} select={(id) => select(outline?.rowOf(id) ?? -1, true)} />
              : <Waiting lines={8} />}
          </section>
        )}
      </div>
    </div>
  );
}

function viewsOf(text: string | null): View[] {
  const chosen = VIEWS.filter((view) => (text ?? "").split(",").includes(view));
  return chosen.length ? chosen : [...VIEWS];
}

/** The first failed span below which nothing failed, or the first span. */
function firstOf(outline: Outline, tree: Tree): string {
  const at = tree.order.findIndex((row, index) => outline.isError(row) && tree.errors[index] === 1);
  const row = tree.order[Math.max(0, at)];
  return row === undefined ? "" : outline.ids[row]!;
}

/** Where a sorted list has a value, or -1. */
function indexOf(sorted: Int32Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else if (sorted[middle]! > value) high = middle - 1;
    else return middle;
  }
  return -1;
}

/** The outline, drawn from its first chunk on. */
function useOutline(key: string, traceId: string) {
  const [state, setState] = useState<{ key: string; shape: Shape | null; complete: boolean;
    failure: ApiError | null }>({ key: "", shape: null, complete: false, failure: null });
  const [turn, setTurn] = useState(0);
  useLayoutEffect(() => {
    const abort = new AbortController();
    setState({ key, shape: null, complete: false, failure: null });
    void (async () => {
      const outline = new Outline();
      let cursor = "";
      try {
        const parts = lines<GetTraceOutlineResponseJson>(
          path`/v1/traces/${traceId}/outline`, {}, abort.signal);
        let drawn = false;
        for await (const part of parts) {
          if (part.chunk) outline.add(part.chunk);
          cursor = part.cursor || cursor;
          // The first rows at once; the rest together, for each change lays out the tree anew.
          if (!drawn && !cursor) {
            drawn = true;
            setState({ key, shape: { outline, cursor }, complete: false, failure: null });
          }
        }
        const whole = Object.assign(Object.create(Outline.prototype) as Outline, outline);
        setState({ key, shape: { outline: whole, cursor }, complete: true, failure: null });
      } catch (error) {
        if (!abort.signal.aborted) {
          setState({ key, shape: null, complete: false,
            failure: error instanceof ApiError ? error : new ApiError(-1, String(error)) });
        }
      }
    })();
    return () => abort.abort();
  }, [key, turn]);
  const isOld = state.key !== key;
  return {
    shape: isOld ? null : state.shape, complete: !isOld && state.complete,
    failure: isOld ? null : state.failure, reload: () => setTurn(turn + 1),
  };
}

/** What was written since the outline was read, while the trace runs. */
function useChanges(
  key: string, traceId: string, isRunning: boolean, shape: Shape | null, reload: () => void,
  onChange: () => void,
) {
  const state = useRef({ key: "", cursor: "", outline: null as Outline | null, at: Date.now() });
  const [turn, setTurn] = useState(0);
  if (state.current.key !== key || (shape?.cursor && !state.current.cursor)) {
    state.current = { key, cursor: shape?.cursor ?? "", outline: null, at: Date.now() };
  }
  const now = state.current;
  const isOn = isRunning && now.cursor !== "" && Date.now() - now.at < PATIENCE;
  usePoll(2, isOn, async () => {
    const news = new Outline();
    const deleted: string[] = [];
    let cursor = now.cursor;
    try {
      const parts = lines<GetTraceOutlineResponseJson>(
        path`/v1/traces/${traceId}/outline`, { cursor });
      for await (const part of parts) {
        if (part.chunk) news.add(part.chunk);
        deleted.push(...(part.deletedSpanIds ?? []));
        cursor = part.cursor || cursor;
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 400) reload();
      throw error;
    }
    now.cursor = cursor;
    if (!news.size && !deleted.length) return;
    now.outline = merged(now.outline ?? shape!.outline, news, deleted);
    now.at = Date.now();
    setTurn((n) => n + 1);
    onChange();
  });
  return { outline: now.outline, turn, at: isOn ? now.at : null };
}
