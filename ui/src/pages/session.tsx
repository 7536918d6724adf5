/** One session: the conversation, and its turns. */
import { useState } from "preact/hooks";
import type { ConversationSummaryJson } from "#api/query_pb";
import type { GetConversationResponseJson, ListTraceSummariesResponseJson } from "#api/query_service_pb";
import { call, path, project, useLoad, usePoll } from "../api";
import { cost, count, duration, ms, short } from "../model/format";
import { Loads, say, Sent, stateOf, Status, Thumbs, Time, title } from "../parts/small";
import { change, go, place, to } from "../place";
import { Chat } from "./chat";
import { Reviews } from "./reviews";

export function Session() {
  const { path: at, query } = place.value;
  const conversationId = at.slice(3).join("/");
  const key = `${project()}/${conversationId}`;
  const [version, setVersion] = useState(0);
  const loaded = useLoad(`${key} ${version}`, async (signal) =>
    (await call<GetConversationResponseJson>(path`/v1/conversations/${conversationId}`, {}, { signal }))
      .conversation ?? {});
  const turns = useLoad(`${key} turns ${version}`, (signal) => call<ListTraceSummariesResponseJson>(
    "/v1/traceSummaries", { filter: { conversationId }, pageSize: 200 }, { signal }));
  const [known, setKnown] = useState("");
  usePoll(5, true, async () => {
    const { conversation } = await call<GetConversationResponseJson>(
      path`/v1/conversations/${conversationId}`);
    const now = `${conversation?.lastActivityTime} ${conversation?.figures?.spanCount}`;
    if (known && now !== known) {
      setVersion((n) => n + 1);
      say("the session goes on");
    }
    setKnown(now);
  });
  title("session", loaded.data?.name || loaded.data?.inputPreview?.slice(0, 60));
  return (
    <div class="trace">
      <Loads of={loaded} lines={2}>{(session) => <Head session={session} />}</Loads>
      <div class="panes session-panes">
        <section class="pane" aria-label="Conversation">
          <Chat source={{ conversationId }} version={version} turns selected={query.get("span") ?? ""}
            select={(span, trace) => go(to(["p", project(), "traces", trace], { span }))} />
        </section>
        <section class="pane" aria-label="Turns">
          <div class="tab-panel">
            <h2>Turns</h2>
            <Loads of={turns}>
              {({ traceSummaries = [], nextPageToken }) => (
                <>
                  <ol class="plain turns" reversed>
                    {traceSummaries.map((trace) => {
                      const figures = trace.figures ?? {};
                      return (
                        <li key={trace.traceId} class="turn-row">
                          <p>
                            <Status state={stateOf(trace)} />{" "}
                            <a href={to(["p", project(), "traces", trace.traceId ?? ""])}>
                              <Sent text={trace.inputPreview || trace.name || "unnamed"} />
                            </a>
                          </p>
                          <p class="dim">
                            <Time at={trace.startTime} /> · {[
                              duration(ms(trace.duration)),
                              `${count(figures.modelCallCount)} model and ${count(figures.toolCallCount)} tool calls`,
                              Number(figures.errorCount ?? 0) ? `${count(figures.errorCount)} errors` : "",
                              figures.costUsd === undefined ? "" : cost(Number(figures.costUsd)),
                            ].filter(Boolean).join(" · ")}
                          </p>
                        </li>
                      );
                    })}
                  </ol>
                  {nextPageToken && (
                    <a href={to(["p", project(), "traces"], { session: conversationId, last: "all" })}>
                      All turns as a list
                    </a>
                  )}
                </>
              )}
            </Loads>
            <h2>Feedback on the session</h2>
            <Reviews target={{ conversationId }} />
          </div>
        </section>
      </div>
    </div>
  );
}

function Head({ session }: { session: ConversationSummaryJson }) {
  const figures = session.figures ?? {};
  const isTalk = place.value.query.get("show") === "talk";
  return (
    <header class="trace-head">
      <div class="head-line">
        <h1><Sent text={session.name || session.inputPreview || "Session"} /></h1>
        <Thumbs reviews={session.reviews} />
        <span class="grow" />
        <button type="button" class="toggle" aria-pressed={isTalk}
          onClick={() => change({ show: isTalk ? null : "talk" })}>Talk only</button>
        <a class="button" href={to(["p", project(), "traces"],
          { session: session.conversationId ?? "", last: "all" })}>Turns as traces</a>
      </div>
      <dl class="facts-list">
        <div><dt>turns</dt><dd>{count(session.traceCount)}</dd></div>
        <div><dt>from</dt><dd><Time at={session.startTime} full /></dd></div>
        <div><dt>to</dt><dd><Time at={session.lastActivityTime} full /></dd></div>
        {figures.costUsd !== undefined && <div><dt>cost</dt><dd>{cost(Number(figures.costUsd))}</dd></div>}
        <div><dt>tokens</dt><dd>{short(figures.inputTokens)} in, {short(figures.outputTokens)} out</dd></div>
        {Number(figures.errorCount ?? 0) > 0 && <div><dt>errors</dt><dd class="bad">{count(figures.errorCount)}</dd></div>}
        {session.agentNames?.length && <div><dt>agents</dt><dd><Sent text={session.agentNames.join(", ")} /></dd></div>}
        {session.user?.id && (
          <div><dt>user</dt><dd><a href={to(["p", project(), "sessions"], { user: session.user.id })}>
            <Sent text={session.user.name || session.user.id} /></a></dd></div>
        )}
        <div><dt>session</dt><dd><code><Sent text={session.conversationId} /></code></dd></div>
      </dl>
    </header>
  );
}
