/** What an empty project shows: how to send, with this server's address. */
import { CopyButton } from "../parts/small";
import { ROOT } from "../place";

export function FirstSteps({ inSettings = false }: { inSettings?: boolean }) {
  const server = ROOT.href.slice(0, ROOT.href.lastIndexOf("/ui/"));
  const steps: [string, string][] = [
    ["curl", `curl ${server}/v1/spans:write \\
  -H "Authorization: Bearer $SPANLOOM_KEY" -H 'Content-Type: application/json' \\
  -d '{"spans": [{"traceId": "first", "spanId": "1", "name": "hello",
       "input": "Hi", "output": "Hello!"}]}'`],
    ["OpenTelemetry", `export OTEL_EXPORTER_OTLP_ENDPOINT=${server}
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer $SPANLOOM_KEY"`],
    ["Basalt", `curl ${server}/monitor/trace \\
  -H "Authorization: Bearer $SPANLOOM_KEY" -H 'Content-Type: application/json' \\
  -d '{"featureSlug": "qa-chatbot", "input": "Hi", "output": "Hello"}'`],
    ["HoneyHive", `# In the application that the SDK of HoneyHive traces:
export HH_API_URL=${server}
export HH_API_KEY=$SPANLOOM_KEY`],
  ];
  return (
    <div class="first">
      {!inSettings && (
        <>
          <h2>Nothing has arrived yet</h2>
          <p>
            Send a span in one of these ways. This page shows it as soon as it arrives. For a project
            full of examples, run <code>spanloom demo</code>.
          </p>
        </>
      )}
      <p>
        Applications need a key that may write:{" "}
        <code>spanloom keys create --project default --role ingest</code>
      </p>
      {steps.map(([name, text]) => (
        <section key={name}>
          <h3>{name} <CopyButton what="commands" text={() => text} /></h3>
          <pre tabIndex={0}>{text}</pre>
        </section>
      ))}
    </div>
  );
}
