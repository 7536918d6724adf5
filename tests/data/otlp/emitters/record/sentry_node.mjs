import * as Sentry from "@sentry/node";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const processor = new BatchSpanProcessor(new OTLPTraceExporter());
Sentry.init({
  dsn: "http://key@127.0.0.1:9/1",
  tracesSampleRate: 1.0,
  sendDefaultPii: true,
  openTelemetrySpanProcessors: [processor],
  integrations: [Sentry.openAIIntegration({ recordInputs: true, recordOutputs: true })],
});
Sentry.setUser({ id: "ann" });
Sentry.setConversationId?.("session-1");
const { default: OpenAI } = await import("openai");

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Weather of a city.",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
];
const messages = [
  { role: "system", content: "You are helpful." },
  { role: "user", content: "What is the weather in Paris?" },
];
const client = new OpenAI();
await Sentry.startSpan({ name: "weather_agent", op: "gen_ai.invoke_agent" }, async () => {
  for (;;) {
    const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages, tools });
    const [{ message }] = answer.choices;
    messages.push(message);
    if (!message.tool_calls) break;
    for (const call of message.tool_calls) {
      const { city } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: "18C, rain in " + city });
    }
  }
});
await processor.forceFlush();
process.exit(0);
