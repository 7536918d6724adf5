/** Calls of the API under /ui/api/, in canonical protobuf JSON. */
import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { GetCallerResponseJson } from "#api/query_service_pb";
import { parameters } from "./model/filters";
import { go, place, ROOT, to } from "./place";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly reason = "",
    readonly requestId = "",
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

/** What the server knows of the caller; null until it answered. */
export const caller = signal<GetCallerResponseJson | null>(null);

/** The project of the pages, which is in their address. */
export function project(): string {
  const { path } = place.value;
  return path[0] === "p" && path[1] ? path[1] : caller.value?.projectId ?? "default";
}

export function may(role: "review" | "admin"): boolean {
  const roles = caller.value?.roles ?? [];
  return roles.includes("ROLE_ADMIN") || (role === "review" && roles.includes("ROLE_REVIEW"));
}

/** A path of REST with its variables encoded: path`/v1/traces/${id}`. */
export function path(parts: TemplateStringsArray, ...values: string[]): string {
  return parts.reduce((text, part, at) => text + encodeURIComponent(values[at - 1]!) + part);
}

interface Options {
  method?: "GET" | "PUT" | "POST" | "DELETE";
  body?: unknown;
  signal?: AbortSignal;
  /** Another project than that of the address. */
  project?: string;
}

export async function send(path: string, request: object, options: Options = {}): Promise<Response> {
  const query = new URLSearchParams(parameters(request)).toString();
  const headers: Record<string, string> = { "x-spanloom-project": encodeHeader(options.project ?? project()) };
  if (options.body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(`${ROOT.pathname}api${path}${query ? `?${query}` : ""}`, {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, navigator.onLine
      ? "The server does not answer." : "This browser is offline.");
  }
  if (response.ok) return response;
  if (response.status === 401 && place.peek().path[0] !== "login") {
    go(to(["login"], { next: location.pathname.slice(ROOT.pathname.length) + location.search }), true);
  }
  throw await errorOf(response);
}

/** Where the browser itself gets an attachment of the project. */
export function attachmentAddress(digest: string): string {
  const query = new URLSearchParams({ project: project() }).toString();
  return `${ROOT.pathname}api${path`/v1/attachments/${digest}`}?${query}`;
}

// A header holds bytes; the server reads UTF-8.
function encodeHeader(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function errorOf(response: Response): Promise<ApiError> {
  const body = await response.json().catch(() => ({})) as Record<string, unknown>;
  const nested = body["error"];
  const inner = nested && typeof nested === "object" ? nested as Record<string, unknown> : body;
  return new ApiError(
    response.status,
    String(inner["message"] ?? `The server answered ${response.status}.`),
    String(body["errorCode"] ?? ""),
    response.headers.get("x-request-id") ?? "",
    Number(response.headers.get("retry-after") ?? 0),
  );
}

export async function call<T>(path: string, request: object = {}, options: Options = {}): Promise<T> {
  const response = await send(path, request, options);
  return await response.json() as T;
}

/** The lines of a stream, as they come. */
export async function* lines<T>(
  path: string, request: object = {}, signal?: AbortSignal,
): AsyncGenerator<T> {
  const response = await send(path, request, { signal });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split("\n");
    rest = pieces.pop()!;
    for (const line of pieces) if (line) yield lineOf<T>(line);
  }
  if (rest) yield lineOf<T>(rest);
}

function lineOf<T>(line: string): T {
  const value = JSON.parse(line) as T & { error?: { message?: string; errorCode?: string } };
  if (value.error) throw new ApiError(500, value.error.message ?? "", value.error.errorCode);
  return value;
}

/** What a page loads: the newest data, and the error of the latest attempt. */
export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
  loading: boolean;
  reload: () => void;
}

/** Loads what the key names, again when the key changes; data of the key before is not shown. */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const latest = useRef(load);
  latest.current = load;
  const state = useRef(signal<{ key: string | null; data: T | null; error: ApiError | null;
    loading: boolean; turn: number }>({ key, data: null, error: null, loading: true, turn: 0 }));
  const { turn } = state.current.value;
  // Before the paint, so that the request is not behind it.
  useLayoutEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    const before = state.current.peek();
    state.current.value = {
      ...before, key, data: before.key === key ? before.data : null, error: null, loading: true,
    };
    latest.current(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) {
          state.current.value = { ...state.current.peek(), key, data, error: null, loading: false };
        }
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const shown = error instanceof ApiError ? error : new ApiError(-1, String(error));
        state.current.value = { ...state.current.peek(), key, error: shown, loading: false };
      },
    );
    return () => abort.abort();
  }, [key, turn]);
  const { value } = state.current;
  const isOld = value.key !== key;
  return {
    data: isOld ? null : value.data,
    error: isOld ? null : value.error,
    loading: isOld || value.loading,
    reload: () => {
      state.current.value = { ...state.current.peek(), turn: state.current.peek().turn + 1 };
    },
  };
}

/** Calls a function every so often while the tab is visible. */
export function usePoll(seconds: number, isOn: boolean, poll: () => Promise<void>): void {
  const latest = useRef(poll);
  latest.current = poll;
  useEffect(() => {
    if (!isOn) return;
    let timer = 0;
    let ended = false;
    const next = async () => {
      if (!document.hidden) await latest.current().catch(() => undefined);
      if (!ended) timer = window.setTimeout(next, seconds * 1000);
    };
    timer = window.setTimeout(next, seconds * 1000);
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [seconds, isOn]);
}

let asked = "";
/** Asks who the caller is, once for each project. */
export function watchCaller(): void {
  effect(() => {
    const { path: at } = place.value;
    const key = at[0] === "p" ? at[1] ?? "" : "";
    if (at[0] === "login" || (asked === key && caller.peek())) return;
    asked = key;
    call<GetCallerResponseJson>("/v1/caller").then(
      (found) => {
        caller.value = found;
      },
      () => undefined,
    );
  });
}
