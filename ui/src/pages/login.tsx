/** Sign in, with a key or by the link that the server prints when it starts. */
import { useEffect, useState } from "preact/hooks";
import { caller } from "../api";
import { title } from "../parts/small";
import { go, place, ROOT } from "../place";

async function signIn(given: { key: string } | { link: string }): Promise<string> {
  const response = await fetch(`${ROOT.pathname}sign-in`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(given),
  }).catch(() => null);
  if (!response) return "The server does not answer.";
  if (response.ok) return "";
  const body = await response.json().catch(() => null) as { error?: { message?: string } } | null;
  return body?.error?.message ?? `The server answered ${response.status}.`;
}

export function Login() {
  title("sign in");
  const [failure, setFailure] = useState("");
  const [busy, setBusy] = useState(location.hash.length > 1);

  const enter = async (given: { key: string } | { link: string }) => {
    setBusy(true);
    const refusal = await signIn(given);
    setBusy(false);
    setFailure(refusal);
    if (!refusal) {
      caller.value = null;
      const next = place.peek().query.get("next") ?? "";
      const target = new URL(next, ROOT);
      const isOurs = target.origin === ROOT.origin && target.pathname.startsWith(ROOT.pathname);
      history.replaceState(null, "", location.pathname);
      go(isOurs ? target.pathname + target.search : ROOT.pathname, true);
    }
  };
  useEffect(() => {
    const link = location.hash.slice(1);
    if (!link) return;
    // The token is used once; it must not stay in the address or in the history.
    history.replaceState(null, "", location.pathname + location.search);
    void enter({ link });
  }, []);

  return (
    <form class="login" onSubmit={(event) => {
      event.preventDefault();
      const key = new FormData(event.currentTarget).get("key");
      if (typeof key === "string" && key) void enter({ key });
    }}>
      <h1>Spanloom</h1>
      <label for="key">API key</label>
      <input id="key" name="key" type="password" autocomplete="current-password" required
        placeholder="sl_…" aria-describedby="how failure" />
      <button type="submit" class="primary" disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
      <p id="failure" role="alert" class="bad">{failure}</p>
      <p id="how" class="dim">
        To get a key that may read: <code>spanloom keys create --project default --role read</code>.
        With the role <code>review</code>, it may also judge.
      </p>
    </form>
  );
}
