/** Where the reader is: the address, which holds all state that a link should carry. */
import { computed, signal } from "@preact/signals";

/** The directory /ui/ as the browser sees it: a proxy may serve it below another path. */
export const ROOT = new URL(import.meta.env.DEV ? "/ui/" : "..", import.meta.url);

const address = signal(location.href);

export interface Place {
  /** The segments of the path below /ui/, decoded. */
  path: string[];
  query: URLSearchParams;
}

export const place = computed<Place>(() => {
  const url = new URL(address.value);
  const below = url.pathname.slice(ROOT.pathname.length);
  return { path: below.split("/").filter(Boolean).map(decoded), query: url.searchParams };
});

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** An address below /ui/. */
export function to(path: readonly string[], query?: URLSearchParams | Record<string, string>): string {
  const parameters = new URLSearchParams(query).toString();
  const below = path.map(encodeURIComponent).join("/");
  return ROOT.pathname + below + (parameters ? `?${parameters}` : "");
}

/** Goes to another page. `instead`: the one before is left out of the history. */
export function go(href: string, instead = false): void {
  if (href === location.pathname + location.search) return;
  if (instead) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  address.value = location.href;
  scrollTo(0, 0);
}

/** Changes parameters of the address without a step in the history; "" or null removes one. */
export function change(values: Record<string, string | null>, push = false): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  setQuery(query, push);
}

export function setQuery(query: URLSearchParams, push = true): void {
  const text = query.toString();
  const href = location.pathname + (text ? `?${text}` : "");
  if (href === location.pathname + location.search) return;
  if (push) history.pushState(null, "", href);
  else history.replaceState(null, "", href);
  address.value = location.href;
}

addEventListener("popstate", () => {
  address.value = location.href;
});

// Links stay links: a new tab, a copied address and the middle button work as everywhere.
document.addEventListener("click", (event) => {
  const link = (event.target as Element).closest?.("a");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey
    || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || !link.pathname.startsWith(ROOT.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
