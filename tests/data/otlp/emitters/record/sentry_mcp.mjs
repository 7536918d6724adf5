import * as Sentry from "@sentry/node";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const processor = new BatchSpanProcessor(new OTLPTraceExporter());
Sentry.init({
  dsn: "http://key@127.0.0.1:9/1",
  tracesSampleRate: 1.0,
  sendDefaultPii: true,
  openTelemetrySpanProcessors: [processor],
});
const { McpServer } = await import("@modelcontextprotocol/sdk/server/mcp.js");
const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
const { InMemoryTransport } = await import("@modelcontextprotocol/sdk/inMemory.js");
const { z } = await import("zod");

const server = Sentry.wrapMcpServerWithSentry(new McpServer({ name: "weather", version: "1" }));
server.registerTool(
  "get_weather",
  { description: "Weather of a city.", inputSchema: { city: z.string() } },
  async ({ city }) => ({ content: [{ type: "text", text: "18C, rain in " + city }] }),
);
const [one, other] = InMemoryTransport.createLinkedPair();
one.sessionId = other.sessionId = "session-1";
const client = new Client({ name: "client", version: "1" });
await Promise.all([server.connect(one), client.connect(other)]);
console.log(await client.callTool({ name: "get_weather", arguments: { city: "Paris" } }));
await processor.forceFlush();
process.exit(0);
