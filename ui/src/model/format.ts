/** Numbers, durations, costs and times as text. */

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value: number | string | undefined): string {
  return whole.format(Number(value ?? 0));
}

export function short(value: number | string | undefined): string {
  const number = Number(value ?? 0);
  return number < 10_000 ? whole.format(number) : compact.format(number);
}

/** A number of milliseconds: 0.4 ms, 120 ms, 1.25 s, 2 min 5 s, 1 h 3 min. */
export function duration(ms: number): string {
  if (ms < 0 || !Number.isFinite(ms)) return "";
  if (ms < 10 && ms % 1) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Milliseconds of a duration as protobuf writes it in JSON: "1.250s". */
export function ms(text: string | undefined): number {
  return text === undefined ? -1 : Number(text.slice(0, -1)) * 1000;
}

export function cost(usd: number | undefined): string {
  if (usd === undefined || Number.isNaN(usd)) return "";
  if (usd === 0) return "$0";
  if (usd < 0.0001) return "<$0.0001";
  if (usd < 1) return `$${usd.toPrecision(2).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")}`;
  return `$${usd < 100 ? usd.toFixed(2) : whole.format(Math.round(usd))}`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
}

export type Zone = "local" | "utc";

/** A time with its offset, such as 2026-11-28 03:04:05.678 +01:00. */
export function absolute(time: string | number | undefined, zone: Zone): string {
  if (time === undefined) return "";
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return String(time);
  const offset = zone === "utc" ? 0 : -at.getTimezoneOffset();
  const shifted = new Date(at.getTime() + offset * 60_000).toISOString();
  const sign = offset < 0 ? "-" : "+";
  const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, "0");
  const minutes = String(Math.abs(offset) % 60).padStart(2, "0");
  return `${shifted.slice(0, 10)} ${shifted.slice(11, 23)} ${sign}${hours}:${minutes}`;
}

/** Day and time without the year and the offset, for rows: 28 Nov 03:04:05. */
export function brief(time: string | number | undefined, zone: Zone): string {
  if (time === undefined) return "";
  return new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
    ...(zone === "utc" ? { timeZone: "UTC" } : {}),
  }).format(new Date(time)).replace(",", "");
}

export function ago(time: string | number | undefined, now = Date.now()): string {
  if (time === undefined) return "";
  const seconds = Math.max(0, (now - new Date(time).getTime()) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** The number of characters that are not seen: controls, zero-width, bidi, tags. */
export function hiddenCount(text: string): number {
  return text.match(HIDDEN)?.length ?? 0;
}

/** The text with each hidden character as its code point. */
export function revealed(text: string): string {
  return text.replace(HIDDEN, (c) =>
    `\u27e8U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}
