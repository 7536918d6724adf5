"""Two calls in one span of the application: LiteLLM's own spans have no session."""

import json

import litellm
from exporting import provider
from tool_loop import TOOLS, get_weather

litellm.callbacks = ["otel"]
made = provider()
messages = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


def ask():
    return (
        litellm.completion(model="openai/gpt-4o-mini", messages=messages, tools=TOOLS, user="ann")
        .choices[0]
        .message
    )


with made.get_tracer("weather").start_as_current_span(
    "weather_agent", attributes={"session.id": "session-1"}
):
    while True:
        message = ask()
        messages.append(message.model_dump())
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            said = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
