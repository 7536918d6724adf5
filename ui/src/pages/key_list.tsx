/** The list of keys. */
import { useEffect, useRef } from "preact/hooks";

const KEYS: [string, [string, string][]][] = [
  ["Everywhere", [
    ["g t / s / o / f", "go to traces, sessions, overview, search"],
    ["?", "this list"],
  ]],
  ["Lists", [
    ["j k ↓ ↑", "next, previous row"],
    ["Enter", "open"],
    ["Space", "show the trace beside the list, or close it; Escape closes"],
    ["x", "take for a comparison"],
    ["/", "search"],
  ]],
  ["Trace", [
    ["j k ↓ ↑", "next, previous span"],
    ["→ ←", "unfold or first child, fold or parent"],
    ["] [", "next, previous trace of the list"],
    ["e E", "next, previous error"],
    ["/ then n N", "find; next, previous hit"],
    ["o", "fold or unfold all"],
    [".", "only errors"],
    ["z", "time axis: whole trace, selected span, rows in view"],
    ["c w d", "chat, waterfall, details on or off"],
    ["r", "text or Markdown"],
    ["y", "copy a link"],
    ["+ - m", "good, bad, note"],
    ["x", "take for a comparison"],
  ]],
];

export function KeyList({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys-title" onClose={close}>
      <h1 id="keys-title">Keys</h1>
      <div class="keys-lists">
        {KEYS.map(([where, keys]) => (
          <section key={where}>
            <h2>{where}</h2>
            <dl>
              {keys.map(([key, does]) => (
                <div key={key}><dt><kbd>{key}</kbd></dt><dd>{does}</dd></div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="dim">Single keys can be switched off in the settings.</p>
      <form method="dialog"><button type="submit">Close</button></form>
    </dialog>
  );
}
