/** Search in what was said, in slices of time: what was looked at is stated, and can be stopped. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { MessageMatchJson, MessageRoleJson } from "#api/chat_pb";
import type { SearchChatMessagesResponseJson } from "#api/chat_service_pb";
import { call, project } from "../api";
import { rangeOf, withCondition } from "../model/filters";
import { absolute, count } from "../model/format";
import { Empty, Sent, Time, title } from "../parts/small";
import { place, setQuery, to } from "../place";
import { zoneNow } from "../settings";
import { TimeRange } from "./trace_filters";

const ROLES: [string, MessageRoleJson, string][] = [
  ["user", "MESSAGE_ROLE_USER", "users"], ["assistant", "MESSAGE_ROLE_ASSISTANT", "models"],
  ["system", "MESSAGE_ROLE_SYSTEM", "system prompts"],
  ["call", "MESSAGE_ROLE_TOOL_CALL", "tool calls"],
  ["result", "MESSAGE_ROLE_TOOL_RESULT", "tool results"],
];
// What is searched unless somebody chooses: the same system prompt is in most calls.
const USUAL = ["user", "assistant", "call", "result"];
const MOST = 200;

interface Progress {
  matches: MessageMatchJson[];
  spans: number;
  back: string;
  token: string;
  state: "idle" | "searching" | "stopped" | "done";
  failure: string;
}
const NOTHING: Progress = { matches: [], spans: 0, back: "", token: "", state: "idle", failure: "" };

export function Search() {
  const { query } = place.value;
  const text = query.get("q") ?? "";
  const chosen = query.has("role") ? query.getAll("role") : USUAL;
  const key = `${project()}?${query}`;
  const [progress, setProgress] = useState(NOTHING);
  const stop = useRef<AbortController | null>(null);
  title("search", text);

  const search = async (from: Progress) => {
    const abort = new AbortController();
    stop.current = abort;
    let now: Progress = { ...from, state: "searching", failure: "" };
    setProgress(now);
    const { from: start, to: end } = rangeOf(query, Date.now());
    const roles = ROLES.filter(([name]) => chosen.includes(name)).map(([, role]) => role);
    const most = now.matches.length + MOST;
    try {
      do {
        const page: SearchChatMessagesResponseJson = await call("/v1/messages:search", {
          text, roles, agentName: query.get("agent") || undefined,
          startTimeFrom: start === null ? undefined : new Date(start).toISOString(),
          startTimeBefore: end === null ? undefined : new Date(end).toISOString(),
          pageSize: 50, pageToken: now.token || undefined,
        }, { signal: abort.signal });
        now = {
          ...now,
          matches: [...now.matches, ...(page.matches ?? [])],
          spans: now.spans + Number(page.searchedSpanCount ?? 0),
          back: page.searchedBackToTime ?? now.back,
          token: page.nextPageToken ?? "",
          state: page.nextPageToken ? "searching" : "done",
        };
        setProgress(now);
      } while (now.token && now.matches.length < most);
      if (now.token) setProgress({ ...now, state: "stopped" });
    } catch (error) {
      const failure = abort.signal.aborted ? "" : error instanceof Error ? error.message : String(error);
      if (stop.current === abort) setProgress({ ...now, state: "stopped", failure });
    }
  };
  useEffect(() => {
    setProgress(NOTHING);
    if (text) void search(NOTHING);
    return () => {
      const running = stop.current;
      stop.current = null;
      running?.abort();
    };
  }, [key]);

  const groups = new Map<string, MessageMatchJson[]>();
  for (const match of progress.matches) {
    const id = match.conversationId || match.traceId || "";
    groups.set(id, [...(groups.get(id) ?? []), match]);
  }
  return (
    <div class="search-page">
      <h1 class="unseen">Search</h1>
      <form class="filters" role="search" onSubmit={(e) => {
        e.preventDefault();
        const data = new FormData(e.currentTarget);
        const next = withCondition(query, "q", String(data.get("q") ?? "").trim());
        next.delete("role");
        for (const role of data.getAll("role")) next.append("role", String(role));
        setQuery(next);
      }}>
        <label class="unseen" for="q">Text</label>
        <input id="q" name="q" type="search" class="grow" key={text} defaultValue={text} maxLength={1024}
          placeholder="What was said, by anybody" autofocus={!text} />
        <TimeRange query={query} />
        <fieldset class="roles">
          <legend class="unseen">Who said it</legend>
          {ROLES.map(([name, , label]) => (
            <label key={name}><input type="checkbox" name="role" value={name}
              defaultChecked={chosen.includes(name)} /> {label}</label>
          ))}
        </fieldset>
        <button type="submit" class="primary">Search</button>
      </form>
      {text && (
        <p class="bar" role="status">
          {count(progress.matches.length)} found in {count(progress.spans)} spans
          {progress.back && `, back to ${absolute(progress.back, zoneNow())}`}
          {progress.state === "searching" && (
            <button type="button" onClick={() => {
              stop.current?.abort();
            }}>Stop</button>
          )}
          {progress.state === "stopped" && progress.token && (
            <button type="button" onClick={() => void search(progress)}>Search on</button>
          )}
          {progress.failure && <span class="bad">{progress.failure}</span>}
        </p>
      )}
      {!text && (
        <Empty><p>Search the messages of users, models and tools, latest first.</p></Empty>
      )}
      {text && progress.state === "done" && !progress.matches.length && (
        <Empty>
          <p>Nothing was found in this time.{" "}
            <button type="button" onClick={() => setQuery(withCondition(query, "last", "all"))}>
              Search all times
            </button>
          </p>
        </Empty>
      )}
      {[...groups].map(([id, matches]) => (
        <section key={id} class="result">
          <h2>
            <a href={to(["p", project(), "sessions", id])}>
              <Sent text={matches[0]!.conversationName || id} />
            </a>
          </h2>
          <ul class="plain">
            {matches.map((match, at) => (
              <li key={at} class="hit">
                <span class="dim">
                  <Time at={match.startTime} /> {word(match.role)} <Sent text={match.agent?.name} />
                </span>
                <a href={to(["p", project(), "traces", match.traceId ?? ""],
                  { span: match.spanId ?? "", find: text })}>
                  <Preview match={match} length={Array.from(text).length} />
                </a>
              </li>
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

const word = (role: MessageRoleJson | undefined) => ROLES.find(([, name]) => name === role)?.[0] ?? "";

function Preview({ match, length }: { match: MessageMatchJson; length: number }) {
  const points = Array.from(match.preview ?? "");
  const at = match.previewMatchOffset ?? 0;
  return (
    <bdi>
      {points.slice(0, at).join("")}
      <mark>{points.slice(at, at + length).join("")}</mark>
      {points.slice(at + length).join("")}
    </bdi>
  );
}
