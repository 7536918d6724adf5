// Calls every method of the namespaces that the JavaScript client of honeyhive has. Prints what some
// of them gave, the methods that failed, and those that were not called.
//
// The client validates each answer by its own schemas.

"use strict";

const { HoneyHive } = require("honeyhive");

const project = process.argv[2];
const clientOf = (key) => new HoneyHive({ bearerAuth: key, serverURL: process.env.HH_API_URL });
const client = clientOf(process.env.HH_API_KEY);
// Only an instance key may manage other projects than its own.
const operator = clientOf(process.env.INSTANCE_KEY);
const AREAS = [
  "configurations",
  "datapoints",
  "datasets",
  "events",
  "experiments",
  "metrics",
  "projects",
  "session",
  "tools",
];
const called = new Set();
const failed = {};
const got = {};

async function call(name, ...parameters) {
  const [area, method] = name.split(".");
  called.add(name);
  try {
    return await (area === "projects" ? operator : client)[area][method](...parameters);
  } catch (error) {
    failed[name] = `${error.message} ${JSON.stringify(error.cause ?? error.body ?? "")}`.slice(0, 500);
    return undefined;
  }
}

async function catalogs() {
  const tool = { task: project, name: "add", description: "a", parameters: { a: 1 }, type: "function" };
  const made = await call("tools.createTool", tool);
  got.tools = await call("tools.getTools");
  const toolId = got.tools?.[0]?.id;
  got.sameTool = toolId === made?.result?.insertedId;
  await call("tools.updateTool", { id: toolId, name: "sum", parameters: { b: 2 } });
  await call("tools.deleteTool", toolId);

  const metric = { name: "old", task: project, type: "custom", description: "d", returnType: "float" };
  await call("metrics.createMetric", { ...metric, codeSnippet: "x", threshold: { min: 1 } });
  const [before] = (await call("metrics.getMetrics", project)) ?? [];
  await call("metrics.updateMetric", { metricId: before?.id, name: "new", passWhen: true });
  got.metrics = await call("metrics.getMetrics", project);
  await call("metrics.deleteMetric", before?.id);

  const parameters = {
    callType: "chat",
    model: "m",
    hyperparameters: { temperature: 0.5 },
    additionalProperties: {},
  };
  const configuration = { project, name: "v0", provider: "openai", parameters, env: ["dev"] };
  await call("configurations.createConfiguration", configuration);
  const [first] = (await call("configurations.getConfigurations", project)) ?? [];
  const changed = { ...configuration, env: ["prod"], type: "LLM" };
  await call("configurations.updateConfiguration", changed, first?.id);
  got.configurations = await call("configurations.getConfigurations", project, "prod", "v0");
  await call("configurations.deleteConfiguration", first?.id);

  await call("projects.createProject", { name: "made", description: "a" });
  await call("projects.updateProject", { projectId: "made", description: "b" });
  got.projects = await call("projects.getProjects", "made");
  await call("projects.deleteProject", "made");
}

async function datasets() {
  const point = { project, inputs: { q: 1 }, groundTruth: { a: 2 } };
  const made = await call("datapoints.createDatapoint", point);
  const pointId = made?.result?.insertedId;
  await call("datapoints.getDatapoint", pointId);
  await call("datapoints.updateDatapoint", { metadata: { m: 1 } }, pointId);
  await call("datapoints.getDatapoints", project, [pointId]);

  const dataset = { project, name: "d", type: "evaluation", pipelineType: "event", saved: true };
  const set = await call("datasets.createDataset", { ...dataset, datapoints: [] });
  const datasetId = set?.result?.insertedId;
  const mapping = { inputs: ["q"], groundTruth: ["a"], history: [] };
  const rows = { project, data: [{ q: 1, a: 2 }, { q: 3, a: 4 }], mapping };
  got.added = (await call("datasets.addDatapoints", rows, datasetId))?.datapointIds;
  await call("datasets.updateDataset", { datasetId, description: "e" });
  got.datasets = (await call("datasets.getDatasets", project, "evaluation", datasetId))?.testcases;
  await call("datasets.deleteDataset", datasetId);
  await call("datapoints.deleteDatapoint", pointId);
}

async function events() {
  const started = await call("session.startSession", { session: { project, sessionName: "s", source: "test" } });
  const sessionId = started?.sessionId;
  const event = {
    project,
    sessionId,
    source: "test",
    eventName: "call",
    eventType: "model",
    config: {},
    inputs: { q: 1 },
    // The end that follows from these has a fraction of a millisecond, unless it is rounded.
    startTime: 1700000000000.25,
    duration: 1.5,
  };
  const made = await call("events.createEvent", { event });
  await call("events.updateEvent", { eventId: made?.eventId, metrics: { x: 1 } });
  await call("events.createEventBatch", { events: [event] });
  const model = {
    project,
    sessionId,
    model: "m",
    provider: "openai",
    messages: [{ role: "user", content: "hi" }],
    response: { content: "yo" },
    duration: 2,
    usage: { prompt_tokens: 1 },
    cost: 0.1,
    error: "none",
    source: "test",
    eventName: "model call",
    hyperparameters: { temperature: 0 },
    template: [{ role: "user", content: "hi" }],
    templateInputs: { a: 1 },
    tools: [{ name: "t" }],
    toolChoice: "auto",
    responseFormat: { type: "text" },
  };
  await call("events.createModelEvent", { modelEvent: model });
  await call("events.createModelEventBatch", { modelEvents: [model] });
  const filter = { field: "event_type", value: "model", operator: "is", type: "string" };
  got.events = (await call("events.getEvents", { project, filters: [filter] }))?.events;
  await call("session.getSession", sessionId);

  const run = { project, name: "r", eventIds: [sessionId], status: "pending" };
  const first = await call("experiments.createRun", run);
  const second = await call("experiments.createRun", run);
  await call("experiments.getRuns", project);
  await call("experiments.updateRun", { status: "completed" }, first?.runId);
  await call("experiments.getRun", first?.runId);
  await call("experiments.getExperimentResult", first?.runId, project);
  await call("experiments.getExperimentComparison", first?.runId, second?.runId, project);
  await call("experiments.deleteRun", second?.runId);
}

async function main() {
  await catalogs();
  await datasets();
  await events();
  const methods = AREAS.flatMap((area) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(client[area]))
      .filter((name) => name !== "constructor")
      .map((name) => `${area}.${name}`),
  );
  const missing = methods.filter((name) => !called.has(name));
  console.log(JSON.stringify({ ...got, failed, "not called": missing }));
}

main();
