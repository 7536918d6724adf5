/** What a reader prefers, kept in this browser. */
import { effect, signal } from "@preact/signals";
import type { Zone } from "./model/format";

function kept<T extends string | boolean>(name: string, initial: T): ReturnType<typeof signal<T>> {
  const key = `spanloom.${name}`;
  let first = initial;
  try {
    const text = localStorage.getItem(key);
    if (text !== null) first = JSON.parse(text) as T;
  } catch {
    // Storage may be switched off, or hold what another program wrote.
  }
  const value = signal<T>(first);
  effect(() => {
    try {
      localStorage.setItem(key, JSON.stringify(value.value));
    } catch {
      // The choice lasts as long as the tab.
    }
  });
  return value;
}

export const theme = kept<string>("theme", "system");
export const zone = kept<string>("zone", "local");
export const markdown = kept<boolean>("markdown", false);
export const reveal = kept<boolean>("reveal", false);
export const keysOn = kept<boolean>("keys", true);
/** The columns of the list of traces; "" for those shown until somebody chooses. */
export const columns = kept<string>("columns", "");

export const zoneNow = (): Zone => (zone.value === "utc" ? "utc" : "local");

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});
