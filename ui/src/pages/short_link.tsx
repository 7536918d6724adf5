/** `/ui/t/{trace}` and `/ui/s/{span}`: short addresses for logs, in the projects of the key. */
import { useEffect, useState } from "preact/hooks";
import type { GetEventResponseJson } from "#api/event_service_pb";
import type { ListProjectsResponseJson, ListTraceSummariesResponseJson } from "#api/query_service_pb";
import { ApiError, call, caller, path } from "../api";
import { Empty, title } from "../parts/small";
import { go, place, to } from "../place";

export function ShortLink() {
  const { path: at } = place.value;
  const [failure, setFailure] = useState("");
  const id = at.slice(1).join("/");
  const known = caller.value;
  title(id);
  useEffect(() => {
    if (!known) return;
    void (async () => {
      const first = known.projectId ?? "default";
      const others = known.instanceKey ? await projects() : [];
      for (const project of [first, ...others.filter((name) => name !== first)]) {
        const found = at[0] === "t" ? await traceIn(project, id) : await spanIn(project, id);
        if (found) {
          go(found, true);
          return;
        }
      }
      setFailure(`This key can read no ${at[0] === "t" ? "trace" : "span"} with the id ${id}.`);
    })().catch((error: unknown) => {
      setFailure(error instanceof Error ? error.message : String(error));
    });
  }, [known, id]);
  return <Empty><p role="status">{failure || "Looking…"}</p></Empty>;
}

async function projects(): Promise<string[]> {
  const found = await call<ListProjectsResponseJson>("/v1/caller/projects", { pageSize: 1000 });
  return (found.projects ?? []).map((one) => one.projectId ?? "");
}

/** What a call returns, or null if there is no such thing. */
async function found<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

async function traceIn(project: string, id: string): Promise<string | null> {
  return await found(call<object>(path`/v1/traces/${id}/summary`, {}, { project }))
    ? to(["p", project, "traces", id]) : null;
}

/** The span's session by the index of event ids, then its trace among those of the session. */
async function spanIn(project: string, id: string): Promise<string | null> {
  const event = await found(call<GetEventResponseJson>(path`/v1/events/${id}`, {}, { project }));
  const session = event?.event?.session_id;
  if (!session) return null;
  const traces = await call<ListTraceSummariesResponseJson>("/v1/traceSummaries",
    { filter: { conversationId: session }, pageSize: 100 }, { project });
  for (const trace of [session, ...(traces.traceSummaries ?? []).map((one) => one.traceId ?? "")]) {
    if (await found(call(path`/v1/traces/${trace}/spans/${id}`, { textLimit: 100 }, { project }))) {
      return to(["p", project, "traces", trace], { span: id });
    }
  }
  return null;
}
