/** Prompts with their versions, datasets with their rows, evaluators. */
import type { GetDatasetResponseJson, ListDatasetsResponseJson } from "#api/dataset_service_pb";
import type { ListEvaluatorsResponseJson } from "#api/evaluator_service_pb";
import type { DescribePromptResponseJson, ListPromptsResponseJson } from "#api/prompt_service_pb";
import { call, path, project, useLoad } from "../api";
import { count } from "../model/format";
import { Ago, Loads, Sent, title } from "../parts/small";
import { JsonView, Text } from "../parts/text";
import { change, place, to } from "../place";
import { readPrompt } from "./compare_prompts";

export function Library() {
  const [, , , kind, ...rest] = place.value.path;
  const slug = rest.join("/");
  if (kind === "prompts" && slug) return <Prompt key={slug} slug={slug} />;
  if (kind === "datasets" && slug) return <Dataset key={slug} slug={slug} />;
  return <Lists />;
}

function Lists() {
  title("library", project());
  const prompts = useLoad(project(), (signal) => call<ListPromptsResponseJson>("/v1/prompts", {}, { signal }));
  const datasets = useLoad(project(), (signal) => call<ListDatasetsResponseJson>("/v1/datasets", {}, { signal }));
  const evaluators = useLoad(project(), (signal) => call<ListEvaluatorsResponseJson>("/v1/evaluators", {}, { signal }));
  return (
    <div class="prose-page">
      <h1>Library</h1>
      <h2>Prompts</h2>
      <Loads of={prompts} lines={3}>
        {({ prompts: all = [] }) => all.length ? (
          <table>
            <thead><tr><th scope="col">Prompt</th><th scope="col">Versions</th><th scope="col">Tags</th><th scope="col">Description</th></tr></thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.slug}>
                  <th scope="row"><a href={to(["p", project(), "library", "prompts", one.slug ?? ""])}><Sent text={one.name || one.slug} /></a></th>
                  <td>{(one.availableVersions ?? []).length}</td>
                  <td><Sent text={(one.availableTags ?? []).join(", ")} /></td>
                  <td><Sent text={one.description} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : <p class="dim">No prompt is stored. <code>POST /v1/prompts</code> stores one.</p>}
      </Loads>
      <h2>Datasets</h2>
      <Loads of={datasets} lines={3}>
        {({ datasets: all = [] }) => all.length ? (
          <table>
            <thead><tr><th scope="col">Dataset</th><th scope="col">Columns</th></tr></thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.slug}>
                  <th scope="row"><a href={to(["p", project(), "library", "datasets", one.slug ?? ""])}><Sent text={one.name || one.slug} /></a></th>
                  <td><Sent text={(one.columns ?? []).join(", ")} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : <p class="dim">No dataset is stored. <code>POST /v1/datasets</code> stores one.</p>}
      </Loads>
      <h2>Evaluators</h2>
      <Loads of={evaluators} lines={3}>
        {({ evaluators: all = [] }) => all.length ? (
          <table>
            <thead><tr><th scope="col">Evaluator</th><th scope="col">Kind</th><th scope="col">Settings</th><th scope="col">Created</th></tr></thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.slug}>
                  <th scope="row"><Sent text={one.slug} /></th>
                  <td><Sent text={one.kind} /></td>
                  <td><JsonView value={one.settings ?? {}} /></td>
                  <td><Ago at={one.createdAt} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : <p class="dim">No evaluator is registered. <code>POST /v1/evaluators</code> registers one.</p>}
      </Loads>
    </div>
  );
}

function Prompt({ slug }: { slug: string }) {
  title("prompt", slug);
  const version = place.value.query.get("v") ?? "";
  const described = useLoad(`${project()} ${slug}`, async (signal) =>
    (await call<DescribePromptResponseJson>(path`/v1/prompts/${slug}/describe`, {}, { signal })).prompt ?? {});
  const read = useLoad(`${project()} ${slug} ${version}`, (signal) => readPrompt(slug, version, signal));
  const versions = described.data?.availableVersions ?? [];
  const shown = read.data?.version ?? version;
  const before = versions[versions.indexOf(shown) + 1];
  return (
    <div class="prose-page">
      <p><a href={to(["p", project(), "library"])}>Library</a></p>
      <h1><Sent text={described.data?.name || slug} /></h1>
      <p class="bar">
        <label>Version{" "}
          <select value={shown} onChange={(e) => change({ v: e.currentTarget.value }, true)}>
            {versions.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        {before && (
          <a class="button" href={to(["p", project(), "compare"],
            { a: `prompt:${slug}@${before}`, b: `prompt:${slug}@${shown}` })}>Compare with {before}</a>
        )}
      </p>
      <Loads of={read}>
        {(prompt) => (
          <>
            {prompt.systemText && <><h2>System text</h2><Text text={prompt.systemText} /></>}
            <h2>Text</h2>
            <Text text={prompt.text ?? ""} />
            <h2>Model</h2>
            <JsonView value={prompt.model ?? {}} />
          </>
        )}
      </Loads>
    </div>
  );
}

function Dataset({ slug }: { slug: string }) {
  title("dataset", slug);
  const loaded = useLoad(`${project()} ${slug}`, async (signal) =>
    (await call<GetDatasetResponseJson>(path`/v1/datasets/${slug}`, {}, { signal })).dataset ?? {});
  return (
    <div class="prose-page">
      <p><a href={to(["p", project(), "library"])}>Library</a></p>
      <Loads of={loaded}>
        {(dataset) => {
          const rows = dataset.rows ?? [];
          const columns = dataset.columns ?? [];
          return (
            <>
              <h1><Sent text={dataset.name || slug} /></h1>
              <p class="dim">{count(rows.length)} rows{rows.length > 500 && ", of which the first 500 are shown"}</p>
              <div class="scroll" tabIndex={0} role="region" aria-label="Rows">
                <table class="cases">
                  <thead><tr>{columns.map((name) => <th key={name} scope="col"><Sent text={name} /></th>)}</tr></thead>
                  <tbody>
                    {rows.slice(0, 500).map((row, at) => (
                      <tr key={at}>{columns.map((name) => <td key={name}><Sent text={row.values?.[name]} /></td>)}</tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </>
          );
        }}
      </Loads>
    </div>
  );
}
