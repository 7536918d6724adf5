/** What this browser keeps, who is signed in, and how to send. */
import { caller, project } from "../api";
import { duration, count, ms } from "../model/format";
import { title } from "../parts/small";
import { go, ROOT, to } from "../place";
import { keysOn, markdown, reveal, theme, zone } from "../settings";
import { FirstSteps } from "./first_steps";

export function Settings() {
  title("settings");
  const known = caller.value;
  const limits = known?.limits ?? {};
  const check = (label: string, value: typeof markdown) => (
    <label class="check">
      <input type="checkbox" checked={value.value} onChange={(e) => { value.value = e.currentTarget.checked; }} /> {label}
    </label>
  );
  const choice = (label: string, value: typeof theme, options: [string, string][]) => (
    <label class="check">
      {label}{" "}
      <select value={value.value} onChange={(e) => { value.value = e.currentTarget.value; }}>
        {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select>
    </label>
  );
  return (
    <div class="settings">
      <h1>Settings</h1>
      <section>
        <h2>This browser</h2>
        {choice("Colours", theme, [["system", "as the system"], ["light", "light"], ["dark", "dark"]])}
        {choice("Times", zone, [["local", "local time"], ["utc", "UTC"]])}
        {check("Show texts as Markdown", markdown)}
        {check("Show invisible characters as code points", reveal)}
        {check("Single keys are shortcuts", keysOn)}
      </section>
      <section>
        <h2>Signed in</h2>
        <dl class="facts-list">
          <div><dt>key</dt><dd>{known?.keyId ? <code>{known.keyId}</code> : "none: the server runs without keys"}</dd></div>
          <div><dt>project</dt><dd>{known?.instanceKey ? "all (an instance key)" : project()}</dd></div>
          <div><dt>roles</dt><dd>{(known?.roles ?? []).map((role) => role.replace("ROLE_", "").toLowerCase()).join(", ")}</dd></div>
          <div><dt>server</dt><dd>{known?.serverVersion}</dd></div>
          <div><dt>largest request</dt><dd>{count(limits.maxRequestBytes)} bytes</dd></div>
          <div><dt>longest call</dt><dd>{duration(ms(limits.maxCallDuration))}</dd></div>
        </dl>
        {known?.keyId && (
          <button type="button" onClick={() => {
            void fetch(`${ROOT.pathname}sign-in`, { method: "DELETE" }).then(() => {
              caller.value = null;
              go(to(["login"]));
            });
          }}>Sign out</button>
        )}
      </section>
      <section>
        <h2>How to send</h2>
        <FirstSteps inSettings />
      </section>
    </div>
  );
}
