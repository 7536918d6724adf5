"""Two turns with the client of OpenAI: a call of the tool, then the answer."""

import json

from openai import OpenAI

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


def get_weather(city):
    return "18C, rain in " + city


def converse(get_weather=get_weather, client=None, **given):
    client = client or OpenAI()
    messages = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "What is the weather in Paris?"},
    ]
    while True:
        message = (
            client.chat.completions.create(
                model="gpt-4o-mini", messages=messages, tools=TOOLS, **given
            )
            .choices[0]
            .message
        )
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            said = get_weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
