/** Find in a trace: names in the outline, and texts by the server, which has all of them. */
import { useEffect, useState } from "preact/hooks";
import type { SearchTraceResponseJson } from "#api/query_service_pb";
import { call, path } from "../api";
import { count } from "../model/format";
import { change } from "../place";

export interface Searched {
  spanIds: ReadonlySet<string>;
  busy: boolean;
  spans: number;
  failure: string;
}

const NOTHING: Searched = { spanIds: new Set(), busy: false, spans: 0, failure: "" };
const MOST = 5000;

export function useFind(key: string, traceId: string, text: string): Searched {
  const [state, setState] = useState(NOTHING);
  useEffect(() => {
    if (!text) {
      setState(NOTHING);
      return;
    }
    const abort = new AbortController();
    setState({ ...NOTHING, busy: true });
    void (async () => {
      const ids = new Set<string>();
      let spans = 0;
      let pageToken: string | undefined;
      try {
        do {
          const page: SearchTraceResponseJson = await call(
            `${path`/v1/traces/${traceId}/spans`}:search`,
            { text, pageSize: 1000, pageToken }, { signal: abort.signal });
          for (const match of page.matches ?? []) ids.add(match.spanId ?? "");
          spans += Number(page.searchedSpanCount ?? 0);
          pageToken = page.nextPageToken || undefined;
          setState({ spanIds: new Set(ids), busy: pageToken !== undefined, spans, failure: "" });
        } while (pageToken && ids.size < MOST);
        setState({ spanIds: ids, busy: false, spans, failure: "" });
      } catch (error) {
        if (!abort.signal.aborted) {
          const failure = error instanceof Error ? error.message : String(error);
          setState({ spanIds: ids, busy: false, spans, failure });
        }
      }
    })();
    return () => abort.abort();
  }, [key, text]);
  return state;
}

export function Find(
  { find, hits, search, next }:
  { find: string; hits: number; search: Searched; next: (step: 1 | -1) => void },
) {
  return (
    <form class="find" role="search" onSubmit={(e) => {
      e.preventDefault();
      const text = String(new FormData(e.currentTarget).get("find") ?? "");
      if (text === find) next(1);
      else change({ find: text || null });
      (document.activeElement as HTMLElement).blur();
    }}>
      <label class="unseen" for="find">Find in this trace</label>
      <input id="find" name="find" type="search" maxLength={1024} key={find} defaultValue={find}
        placeholder="Find in this trace  ( / )" onSearch={(e: Event) => {
          if (!(e.currentTarget as HTMLInputElement).value) change({ find: null });
        }} />
      {find && (
        <>
          <span class="dim" role="status">
            {count(hits)} spans{search.busy && ` · ${count(search.spans)} searched…`}
            {search.failure && ` · ${search.failure}`}
          </span>
          <button type="button" class="small" aria-label="Previous hit" onClick={() => next(-1)}>↑</button>
          <button type="button" class="small" aria-label="Next hit" onClick={() => next(1)}>↓</button>
        </>
      )}
    </form>
  );
}
