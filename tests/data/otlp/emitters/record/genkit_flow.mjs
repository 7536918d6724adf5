import { genkit, z } from "genkit";
import { openAI } from "@genkit-ai/compat-oai/openai";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";

const sdk = new NodeSDK({ traceExporter: new OTLPTraceExporter() });
sdk.start();
const ai = genkit({ plugins: [openAI({ apiKey: "none", baseURL: process.env.OPENAI_BASE_URL })] });
const getWeather = ai.defineTool(
  {
    name: "get_weather",
    description: "Weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    outputSchema: z.string(),
  },
  async ({ city }) => "18C, rain in " + city,
);
const flow = ai.defineFlow(
  { name: "weather_agent", inputSchema: z.string(), outputSchema: z.string() },
  async (question) =>
    (
      await ai.generate({
        model: openAI.model("gpt-4o-mini"),
        system: "You are helpful.",
        prompt: question,
        tools: [getWeather],
      })
    ).text,
);
console.log(await flow("What is the weather in Paris?"));
await ai.flushTracing?.();
await sdk.shutdown();
process.exit(0);
