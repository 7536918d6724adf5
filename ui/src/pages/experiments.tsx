/** The list of experiments, and one of them with its traces and evaluations. */
import { useState } from "preact/hooks";
import type { ExperimentJson } from "#api/experiment_pb";
import type { GetExperimentResponseJson, ListExperimentsResponseJson } from "#api/experiment_service_pb";
import { call, path, project, useLoad } from "../api";
import { Ago, Empty, Loads, Sent, Time, title } from "../parts/small";
import { place, to } from "../place";

export function Experiments() {
  const id = place.value.path.slice(3).join("/");
  return id ? <Experiment key={id} id={id} /> : <ExperimentList />;
}

function ExperimentList() {
  title("experiments", project());
  const [chosen, setChosen] = useState<string[]>([]);
  const loaded = useLoad(project(), async (signal) => {
    const all: ExperimentJson[] = [];
    let pageToken: string | undefined;
    do {
      const page: ListExperimentsResponseJson = await call(
        "/v1/experiments", { pageSize: 100, pageToken }, { signal });
      all.push(...(page.experiments ?? []));
      pageToken = page.nextPageToken || undefined;
    } while (pageToken && all.length < 2000);
    return { all, isCut: pageToken !== undefined };
  });
  const choose = (id: string) => setChosen(
    chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id].slice(-2));
  return (
    <div class="prose-page">
      <h1>Experiments</h1>
      <Loads of={loaded}>
        {({ all, isCut }) => all.length ? (
          <>
            <p class="bar">
              <span class="dim">Choose two to compare them.</span>
              {chosen.length === 2 && (
                <a class="button" href={to(["p", project(), "compare"],
                  { a: `experiment:${chosen[0]}`, b: `experiment:${chosen[1]}` })}>Compare</a>
              )}
              {isCut && <span class="dim">The newest 2,000.</span>}
            </p>
            <table>
              <thead><tr><td /><th scope="col">Name</th><th scope="col">Feature</th><th scope="col">Created</th></tr></thead>
              <tbody>
                {all.map((one) => (
                  <tr key={one.id}>
                    <td><input type="checkbox" aria-label={`Choose ${one.name}`} checked={chosen.includes(one.id ?? "")}
                      onChange={() => choose(one.id ?? "")} /></td>
                    <th scope="row"><a href={to(["p", project(), "experiments", one.id ?? ""])}><Sent text={one.name || one.id} /></a></th>
                    <td><Sent text={one.featureSlug} /></td>
                    <td><Ago at={one.createdAt} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        ) : (
          <Empty>
            <h2>No experiment yet</h2>
            <p>An experiment is a set of traces of one feature. Create one with <code>POST /monitor/experiments</code>.</p>
          </Empty>
        )}
      </Loads>
    </div>
  );
}

function Experiment({ id }: { id: string }) {
  const loaded = useLoad(`${project()} ${id}`, (signal) => call<GetExperimentResponseJson>(
    path`/v1/experiments/${id}`, { pageSize: 1 }, { signal }));
  title("experiment", loaded.data?.experiment?.name);
  return (
    <div class="prose-page">
      <Loads of={loaded}>
        {({ experiment = {}, evaluations = [] }) => (
          <>
            <h1><Sent text={experiment.name || id} /></h1>
            <p class="dim"><Sent text={experiment.featureSlug} /> · <Time at={experiment.createdAt} full /></p>
            <p><a class="button" href={to(["p", project(), "traces"], { experiment: id, last: "all" })}>Show the traces</a></p>
            <h2>Evaluations</h2>
            {evaluations.length ? (
              <table>
                <thead><tr><th scope="col">Evaluator</th><th scope="col">Results</th><th scope="col">Scored</th>
                  <th scope="col">Mean</th><th scope="col">Labels</th></tr></thead>
                <tbody>
                  {evaluations.map((one) => (
                    <tr key={one.evaluator}>
                      <th scope="row"><Sent text={one.evaluator} /></th>
                      <td>{one.results}</td><td>{one.scored}</td>
                      <td>{one.mean === undefined ? "" : Number(one.mean).toFixed(3)}</td>
                      <td><Sent text={Object.entries(one.labels ?? {}).map(([label, n]) => `${label} ${n}`).join(", ")} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            ) : <p class="dim">No evaluator has judged its traces.</p>}
          </>
        )}
      </Loads>
    </div>
  );
}
