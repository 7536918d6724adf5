/** The bar of filters: time, text, conditions by form, order. */
import { useState } from "preact/hooks";
import { LABELS, RANGES, withCondition } from "../model/filters";
import { setQuery } from "../place";

const FLAGS = ["error", "review", "running"];
const VALUES = ["name", "feature", "model", "agent", "user", "session", "env", "org", "experiment",
  "status", "min_ms", "min_cost", "min_tokens", "attr"];
const HINTS: Record<string, string> = {
  attr: "key=value", status: "error or ok", min_ms: "2000", min_cost: "0.05", min_tokens: "10000",
};

export function TimeRange({ query, preset = "7d" }: { query: URLSearchParams; preset?: string }) {
  const isCustom = query.has("from") || query.has("to");
  const choose = (last: string) => {
    const next = new URLSearchParams(query);
    next.delete("from");
    next.delete("to");
    next.delete("last");
    if (last === "custom") next.set("from", new Date(Date.now() - 86_400_000).toISOString());
    else if (last !== preset) next.set("last", last);
    setQuery(next);
  };
  const custom = (name: "from" | "to") => (
    <label class="field">
      {name}{" "}
      <input type="datetime-local" step="1" value={localTime(query.get(name))} onChange={(e) => {
        const next = new URLSearchParams(query);
        const { value } = e.currentTarget;
        if (value) next.set(name, new Date(value).toISOString());
        else next.delete(name);
        setQuery(next);
      }} />
    </label>
  );
  return (
    <>
      <label class="field">
        <span class="unseen">Time</span>
        <select value={isCustom ? "custom" : query.get("last") ?? preset}
          onChange={(e) => choose(e.currentTarget.value)}>
          {Object.keys(RANGES).map((name) => <option key={name} value={name}>last {name}</option>)}
          <option value="all">all times</option>
          <option value="custom">from … to</option>
        </select>
      </label>
      {isCustom && custom("from")}
      {isCustom && custom("to")}
    </>
  );
}

/** The value of a datetime-local input, which has no offset. */
function localTime(text: string | null): string {
  const at = new Date(text ?? "");
  if (Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export function Filters({ query, orders }: { query: URLSearchParams; orders: string[][] }) {
  const [name, setName] = useState("name");
  const isLive = query.get("live") !== "0";
  return (
    <div class="filters" role="search" aria-label="Filters">
      <TimeRange query={query} />
      <form class="grow" onSubmit={(e) => {
        e.preventDefault();
        const text = String(new FormData(e.currentTarget).get("text") ?? "").trim();
        const next = withCondition(query, "text", text);
        if (!text) next.delete("text");
        setQuery(next);
      }}>
        <label class="unseen" for="text">Text in names, messages and attributes</label>
        <input id="text" name="text" type="search" maxLength={1024} key={query.get("text") ?? ""}
          defaultValue={query.get("text") ?? ""} placeholder="Text in names, messages, attributes  ( / )" />
      </form>
      {FLAGS.map((flag) => (
        <button key={flag} type="button" class="toggle" aria-pressed={query.get(flag) === "1"}
          onClick={() => {
            const next = new URLSearchParams(query);
            if (query.get(flag) === "1") next.delete(flag);
            else next.set(flag, "1");
            setQuery(next);
          }}>{LABELS[flag]}</button>
      ))}
      <form class="add" onSubmit={(e) => {
        e.preventDefault();
        const value = String(new FormData(e.currentTarget).get("value") ?? "").trim();
        if (!value) return;
        setQuery(withCondition(query, name, value));
        e.currentTarget.reset();
      }}>
        <select aria-label="Condition" value={name} onChange={(e) => setName(e.currentTarget.value)}>
          {VALUES.map((value) => <option key={value} value={value}>{LABELS[value]}</option>)}
        </select>
        <input name="value" aria-label="Value" placeholder={HINTS[name] ?? "value"} size={10} />
        <button type="submit">Add</button>
      </form>
      <label class="field">
        <span class="unseen">Order</span>
        <select value={query.get("order") ?? ""} onChange={(e) => {
          const next = withCondition(query, "order", e.currentTarget.value);
          if (!e.currentTarget.value) next.delete("order");
          setQuery(next);
        }}>
          {orders.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        </select>
      </label>
      <button type="button" class="toggle" aria-pressed={isLive} onClick={() => {
        const next = new URLSearchParams(query);
        if (isLive) next.set("live", "0");
        else next.delete("live");
        setQuery(next);
      }}>Live</button>
    </div>
  );
}
