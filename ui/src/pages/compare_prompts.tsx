/** Two versions of prompts, word by word. Each is `slug@version`. */
import type { PromptJson } from "#api/prompt_pb";
import type { GetPromptResponseJson } from "#api/prompt_service_pb";
import { call, path, project, useLoad } from "../api";
import { Diff } from "../parts/diff";
import { Loads } from "../parts/small";
import { to } from "../place";

function parts(name: string): [string, string] {
  const at = name.lastIndexOf("@");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at + 1)];
}

export function readPrompt(slug: string, version: string, signal: AbortSignal): Promise<PromptJson> {
  return call<GetPromptResponseJson>(path`/v1/prompts/${slug}`, { version: version || undefined }, { signal })
    .then((found) => found.prompt ?? {});
}

export function ComparePrompts({ a, b }: { a: string; b: string }) {
  const loaded = useLoad(`${project()} ${a} ${b}`, async (signal) => {
    const [left, right] = await Promise.all([a, b].map((name) => readPrompt(...parts(name), signal)));
    return { left: left!, right: right! };
  });
  return (
    <Loads of={loaded}>
      {({ left, right }) => (
        <div class="compare">
          <h1>Two versions</h1>
          <p>
            <a href={to(["p", project(), "library", "prompts", parts(a)[0]], { v: parts(a)[1] })}>{a}</a>{" → "}
            <a href={to(["p", project(), "library", "prompts", parts(b)[0]], { v: parts(b)[1] })}>{b}</a>
          </p>
          <h2>System text</h2>
          <Diff a={left.systemText ?? ""} b={right.systemText ?? ""} />
          <h2>Text</h2>
          <Diff a={left.text ?? ""} b={right.text ?? ""} />
          <h2>Model</h2>
          <Diff a={JSON.stringify(left.model ?? {}, null, 2)} b={JSON.stringify(right.model ?? {}, null, 2)} />
        </div>
      )}
    </Loads>
  );
}
