/** What was said and done, as one list of messages. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ChatMessageJson } from "#api/chat_pb";
import type { ListChatMessagesResponseJson } from "#api/chat_service_pb";
import { ApiError, call, path, project } from "../api";
import { Empty, Failed, Waiting } from "../parts/small";
import { change, place } from "../place";
import { Message } from "./message";

type Source = { traceId: string } | { conversationId: string };

interface Props {
  source: Source;
  /** Rises when the chat may have changed. */
  version: number;
  selected: string;
  select: (spanId: string, traceId: string) => void;
  /** Links to the traces of the messages, for the chat of a conversation. */
  turns?: boolean;
}

const PAGE = 100;
const TEXT = 20_000;
const SHOWS: [string, string][] = [["talk", "talk only"], ["tools", "tools"], ["reasoning", "reasoning"]];

export function messagesPath(source: Source): string {
  return "traceId" in source
    ? path`/v1/traces/${source.traceId}/messages`
    : path`/v1/conversations/${source.conversationId}/messages`;
}

export function Chat({ source, version, selected, select, turns }: Props) {
  const key = `${project()} ${messagesPath(source)}`;
  const [state, setState] = useState<{ key: string; messages: ChatMessageJson[]; token: string;
    failure: ApiError | null; loading: boolean }>(
    { key: "", messages: [], token: "", failure: null, loading: true });
  const [turn, setTurn] = useState(0);
  const wanted = useRef(PAGE);
  const end = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const abort = new AbortController();
    if (state.key !== key) wanted.current = PAGE;
    const old = state.key === key ? state.messages : [];
    setState({ key, messages: old, token: "", failure: null, loading: true });
    void (async () => {
      const messages: ChatMessageJson[] = [];
      let pageToken: string | undefined;
      try {
        do {
          const page: ListChatMessagesResponseJson = await call(messagesPath(source), {
            pageSize: Math.min(1000, Math.max(PAGE, wanted.current - messages.length)),
            pageToken, textLimit: TEXT,
          }, { signal: abort.signal });
          messages.push(...(page.messages ?? []));
          pageToken = page.nextPageToken || undefined;
        } while (pageToken && messages.length < wanted.current);
        setState({ key, messages, token: pageToken ?? "", failure: null, loading: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        const failure = error instanceof ApiError ? error : new ApiError(-1, String(error));
        setState({ key, messages, token: "", failure, loading: false });
      }
    })();
    return () => abort.abort();
  }, [key, version, turn]);

  const more = async () => {
    const { token, messages } = state;
    if (!token || state.loading) return;
    setState({ ...state, loading: true });
    try {
      const page: ListChatMessagesResponseJson = await call(messagesPath(source), {
        pageSize: PAGE, pageToken: token, textLimit: TEXT,
      });
      const all = [...messages, ...(page.messages ?? [])];
      wanted.current = all.length;
      setState({ key, messages: all, token: page.nextPageToken ?? "", failure: null, loading: false });
    } catch (error) {
      const failure = error instanceof ApiError ? error : new ApiError(-1, String(error));
      setState({ ...state, failure, loading: false });
    }
  };
  const latest = useRef(more);
  latest.current = more;
  useEffect(() => {
    const observer = new IntersectionObserver((seen) => {
      if (seen.some((one) => one.isIntersecting)) void latest.current();
    }, { rootMargin: "600px" });
    if (end.current) observer.observe(end.current);
    return () => observer.disconnect();
  }, [state.token]);

  useEffect(() => {
    if (!selected) return;
    document.querySelector(`[data-span="${CSS.escape(selected)}"]`)
      ?.scrollIntoView({ block: "nearest" });
  }, [selected, state.messages.length]);

  const isOld = state.key !== key;
  const messages = isOld ? [] : state.messages;
  const { query } = place.value;
  const shows = (query.get("show") ?? "tools,reasoning").split(",");
  const toggle = (name: string) => {
    if (name === "talk") {
      change({ show: shows.includes("talk") ? null : "talk" });
      return;
    }
    const next = shows.includes(name)
      ? shows.filter((one) => one !== name) : [...shows.filter((one) => one !== "talk"), name];
    change({ show: next.join(",") || "none" });
  };
  const visible = messages.filter((message) => isVisible(message, shows));
  return (
    <div class="chat">
      <div class="bar" role="toolbar" aria-label="Chat">
        {SHOWS.map(([name, label]) => (
          <button key={name} type="button" class="toggle small" aria-pressed={shows.includes(name)}
            onClick={() => toggle(name)}>{label}</button>
        ))}
        <span class="grow" />
        <span class="dim">{visible.length}{state.token ? "+" : ""} messages</span>
      </div>
      <div class="chat-box">
        {state.failure && <Failed error={state.failure} retry={() => setTurn(turn + 1)} />}
        {!messages.length && (state.loading || isOld) && <Waiting lines={8} />}
        {!messages.length && !state.loading && !isOld && !state.failure && (
          <Empty><p>No message was recorded. The spans show what was done.</p></Empty>
        )}
        <ol class="messages">
          {visible.map((message, at) => (
            <Message key={message.messageId} message={message} selected={message.spanId === selected}
              reasoning={shows.includes("reasoning")} select={select}
              sameAgent={at > 0 && visible[at - 1]!.agent?.name === message.agent?.name}
              turnOf={turns && visible[at - 1]?.traceId !== message.traceId
                ? message.traceId : undefined} />
          ))}
        </ol>
        {!isOld && state.token && (
          <div ref={end} class="more">
            <button type="button" onClick={() => void more()}>More messages</button>
          </div>
        )}
      </div>
    </div>
  );
}

function isVisible(message: ChatMessageJson, shows: readonly string[]): boolean {
  const isTalk = shows.includes("talk");
  if (message.toolCall) return !isTalk && shows.includes("tools");
  if (message.response) return !isTalk || Boolean(message.response.text || message.response.media);
  return message.user !== undefined || !isTalk;
}
