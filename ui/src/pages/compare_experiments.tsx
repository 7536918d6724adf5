/** Two experiments, one row a case. */
import { useState } from "preact/hooks";
import type { ExperimentCaseJson, ExperimentCase_RunJson } from "#api/query_pb";
import type { CompareExperimentsResponseJson } from "#api/query_service_pb";
import { call, path, project, useLoad } from "../api";
import { cost, duration, ms } from "../model/format";
import { Loads, Sent } from "../parts/small";
import { change, place, to } from "../place";

export function CompareExperiments({ a, b }: { a: string; b: string }) {
  const evaluator = place.value.query.get("by") ?? "";
  const [pages, setPages] = useState(1);
  const loaded = useLoad(`${project()} ${a} ${b} ${evaluator} ${pages}`, async (signal) => {
    const cases: ExperimentCaseJson[] = [];
    let pageToken: string | undefined;
    for (let page = 0; page < pages; page++) {
      const found: CompareExperimentsResponseJson = await call(
        `${path`/v1/experiments/${b}`}:compare`,
        { baselineExperimentId: a, evaluator: evaluator || undefined, pageToken }, { signal });
      cases.push(...(found.cases ?? []));
      pageToken = found.nextPageToken || undefined;
      if (!pageToken) break;
    }
    return { cases, more: pageToken !== undefined };
  });
  return (
    <div class="compare">
      <h1>Two experiments</h1>
      <p class="dim">
        Baseline <a href={to(["p", project(), "experiments", a])}><code>{a}</code></a>, contender{" "}
        <a href={to(["p", project(), "experiments", b])}><code>{b}</code></a>
      </p>
      <Loads of={loaded} lines={10}>
        {({ cases, more }) => {
          const names = [...new Set(cases.flatMap((one) => [
            ...Object.keys(one.run?.scores ?? {}), ...Object.keys(one.baselineRun?.scores ?? {})]))].sort();
          return (
            <>
              <p class="bar">
                <span class="dim">{cases.length}{more ? "+" : ""} cases</span>
                {names.length > 0 && (
                  <label>ordered by the change of{" "}
                    <select value={evaluator} onChange={(e) => change({ by: e.currentTarget.value || null })}>
                      <option value="">no score</option>
                      {names.map((name) => <option key={name} value={name}>{name}</option>)}
                    </select>
                  </label>
                )}
              </p>
              <div class="scroll" tabIndex={0} role="region" aria-label="Cases">
                <table class="cases">
                  <thead><tr><th scope="col">Input</th><th scope="col">Expected</th>
                    <th scope="col">Baseline</th><th scope="col">Contender</th>
                    {names.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
                  <tbody>
                    {cases.map((one) => (
                      <tr key={one.caseId}>
                        <th scope="row"><Sent text={one.inputPreview || one.caseId} /></th>
                        <td><Sent text={one.expectedOutputPreview} /></td>
                        <td><Run run={one.baselineRun} /></td>
                        <td><Run run={one.run} /></td>
                        {names.map((name) => <td key={name}><Change one={one} name={name} /></td>)}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {more && <button type="button" onClick={() => setPages(pages + 1)}>More cases</button>}
            </>
          );
        }}
      </Loads>
    </div>
  );
}

function Run({ run }: { run: ExperimentCase_RunJson | undefined }) {
  if (!run) return <span class="dim">not run</span>;
  return (
    <>
      <a href={to(["p", project(), "traces", run.traceId ?? ""])}><Sent text={run.outputPreview || "no output"} /></a>
      <div class="dim">
        {run.status?.code === "STATUS_CODE_ERROR" && <span class="bad">✕ error · </span>}
        {[duration(ms(run.duration)), run.figures?.costUsd === undefined ? "" : cost(Number(run.figures.costUsd))]
          .filter(Boolean).join(" · ")}
      </div>
    </>
  );
}

function Change({ one, name }: { one: ExperimentCaseJson; name: string }) {
  const before = one.baselineRun?.scores?.[name];
  const after = one.run?.scores?.[name];
  const round = (value: unknown) => Number(value).toFixed(2).replace(/\.?0+$/, "");
  if (before === undefined && after === undefined) return null;
  if (before === undefined || after === undefined) {
    return <>{before === undefined ? "" : round(before)} → {after === undefined ? "none" : round(after)}</>;
  }
  const change = Number(after) - Number(before);
  return (
    <span class={change < 0 ? "bad" : change > 0 ? "good" : "dim"}>
      {round(before)} → {round(after)} {change !== 0 && `(${change > 0 ? "▲" : "▼"}${round(Math.abs(change))})`}
    </span>
  );
}
