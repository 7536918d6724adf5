import json

import litellm

litellm.callbacks = ["otel"]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
messages = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "What is the weather in Paris?"},
]


def ask():
    return litellm.completion(
        model="openai/gpt-4o-mini",
        messages=messages,
        tools=TOOLS,
        metadata={"session_id": "session-1", "trace_user_id": "ann"},
        user="ann",
    ).choices[0].message


message = ask()
messages.append(message.model_dump())
call = message.tool_calls[0]
city = json.loads(call.function.arguments)["city"]
messages.append({"role": "tool", "tool_call_id": call.id, "content": "18C, rain in " + city})
print(ask().content)
import time

time.sleep(8)
