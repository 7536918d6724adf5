/** The frame of all pages: navigation, project, and the page that the address names. */
import type { ComponentType } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { ListProjectsResponseJson } from "#api/query_service_pb";
import { call, caller, project } from "./api";
import { useKeys } from "./keys";
import { Said, title } from "./parts/small";
import { go, place, to } from "./place";
import { Login } from "./pages/login";
import { Traces } from "./pages/traces";
import { KeyList } from "./pages/key_list";

type Page = ComponentType;

const NAVIGATION: [string, string][] = [
  ["traces", "Traces"],
  ["sessions", "Sessions"],
  ["search", "Search"],
  ["overview", "Overview"],
  ["experiments", "Experiments"],
  ["library", "Library"],
];

/** The pages that the list of traces does not need are loaded when they are first opened. */
const LATER: Record<string, () => Promise<Page>> = {
  trace: async () => (await import("./pages/trace")).TracePage,
  sessions: async () => (await import("./pages/sessions")).Sessions,
  session: async () => (await import("./pages/session")).Session,
  search: async () => (await import("./pages/search")).Search,
  overview: async () => (await import("./pages/overview")).Overview,
  experiments: async () => (await import("./pages/experiments")).Experiments,
  compare: async () => (await import("./pages/compare")).Compare,
  library: async () => (await import("./pages/library")).Library,
  settings: async () => (await import("./pages/settings")).Settings,
  link: async () => (await import("./pages/short_link")).ShortLink,
};
const loaded = new Map<string, Page>([["traces", Traces], ["login", Login]]);

function pageName(path: readonly string[]): string {
  const [first, , third, ...rest] = path;
  if (first === "login" || first === "settings") return first;
  if (first === "t" || first === "s") return "link";
  if (first !== "p") return "";
  if (third === "traces") return rest.length ? "trace" : "traces";
  if (third === "sessions") return rest.length ? "session" : "sessions";
  return third === undefined ? "" : third in LATER ? third : "unknown";
}

export function Frame() {
  const { path } = place.value;
  const name = pageName(path);
  const [, redraw] = useState(0);
  const [help, setHelp] = useState(false);
  const Known = loaded.get(name);

  // Before the paint, so that the request is not behind it.
  useLayoutEffect(() => {
    const load = LATER[name];
    if (Known || !load) return;
    load().then((page) => {
      loaded.set(name, page);
      redraw((n) => n + 1);
      // A server that was upgraded has other files than this page knows.
    }, () => location.reload());
  }, [name]);

  useEffect(() => {
    if (name === "" && caller.value) go(to(["p", caller.value.projectId ?? "default", "traces"]), true);
  }, [name, caller.value]);

  const open = (page: string) => () => go(to(["p", project(), page]));
  useKeys({ "?": () => setHelp(!help), ...(help ? { Escape: () => setHelp(false) } : {}) });
  useSequence({ t: open("traces"), s: open("sessions"), o: open("overview"), f: open("search") });

  if (name === "login") return <main class="page"><Login /></main>;
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => {
        e.preventDefault();
        document.getElementById("main")?.focus();
      }}>Skip to content</a>
      <header class="frame">
        <a class="logo" href={to([])} aria-label="Spanloom, home">Spanloom</a>
        <nav aria-label="Pages">
          {NAVIGATION.map(([page, label]) => (
            <a key={page} href={to(["p", project(), page])}
              aria-current={path[2] === page ? "page" : undefined}>{label}</a>
          ))}
        </nav>
        <span class="grow" />
        <Projects />
        <button type="button" class="small" onClick={() => setHelp(true)} title="Keys (?)">Keys</button>
        <a href={to(["settings"])} aria-current={name === "settings" ? "page" : undefined}>Settings</a>
      </header>
      <main id="main" class="page" tabIndex={-1}>
        {Known ? <Known /> : name === "unknown" ? <Unknown /> : null}
      </main>
      {help && <KeyList close={() => setHelp(false)} />}
      <Said />
    </>
  );
}

function Unknown() {
  title("no such page");
  return (
    <div class="empty">
      <h1>There is no such page</h1>
      <p><a href={to(["p", project(), "traces"])}>Go to the traces</a></p>
    </div>
  );
}

/** `g` and then a letter. */
function useSequence(pages: Record<string, () => void>) {
  const [waits, setWaits] = useState(false);
  useKeys(waits
    ? Object.fromEntries(Object.entries(pages).map(([key, act]) => [key, () => {
      setWaits(false);
      act();
    }]))
    : { g: () => {
      setWaits(true);
      setTimeout(() => setWaits(false), 1500);
    } });
}

function Projects() {
  const [names, setNames] = useState<string[]>([]);
  const now = project();
  const isInstance = caller.value?.instanceKey ?? false;
  useEffect(() => {
    if (!isInstance) return;
    call<ListProjectsResponseJson>("/v1/caller/projects", { pageSize: 1000 }).then(
      (found) => setNames((found.projects ?? []).map((one) => one.projectId ?? "")),
      () => undefined,
    );
  }, [isInstance]);
  if (!isInstance) return <span class="project">{now}</span>;
  const all = names.includes(now) ? names : [now, ...names];
  return (
    <label class="project">
      <span class="unseen">Project</span>
      <select value={now} onChange={(e) => go(to(["p", e.currentTarget.value, place.value.path[2] ?? "traces"]))}>
        {all.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}
