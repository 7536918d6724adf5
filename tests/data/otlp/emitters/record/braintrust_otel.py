"""Spans of OpenTelemetry in Braintrust's own attributes, through its span processor."""

import json
import os

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from braintrust.otel import BraintrustSpanProcessor

made = TracerProvider()
made.add_span_processor(
    BraintrustSpanProcessor(
        api_key="none", parent="project_name:weather", api_url=os.environ["RECORDER"]
    )
)
trace.set_tracer_provider(made)
tracer = made.get_tracer("weather")

from openai import OpenAI

from tool_loop import TOOLS, get_weather

client = OpenAI()
messages = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


def put(span, kind, given, made, **fields):
    span.set_attribute("braintrust.span_attributes", json.dumps({"type": kind}))
    span.set_attribute("braintrust.input_json", json.dumps(given))
    span.set_attribute("braintrust.output_json", json.dumps(made))
    for name, value in fields.items():
        span.set_attribute("braintrust." + name, json.dumps(value))


def ask():
    with tracer.start_as_current_span("Chat Completion") as span:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
        usage = answer.usage
        put(
            span,
            "llm",
            messages,
            [choice.model_dump(exclude_none=True) for choice in answer.choices],
            metadata={"model": "gpt-4o-mini", "provider": "openai", "tools": TOOLS},
            metrics={
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "tokens": usage.total_tokens,
                "prompt_cached_tokens": usage.prompt_tokens_details.cached_tokens,
                "completion_reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
            },
        )
        return answer.choices[0].message


with tracer.start_as_current_span("weather_agent") as root:
    while True:
        message = ask()
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            with tracer.start_as_current_span("get_weather") as span:
                arguments = json.loads(call.function.arguments)
                said = get_weather(**arguments)
                put(span, "tool", arguments, said)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
    put(
        root,
        "task",
        "What is the weather in Paris?",
        message.content,
        metadata={"session_id": "session-1", "user_id": "ann"},
    )
made.shutdown()
