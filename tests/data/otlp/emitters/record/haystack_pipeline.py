"""Haystack 2: an agent as a component of a pipeline."""

from exporting import provider
from haystack import Pipeline, tracing
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack.tracing import OpenTelemetryTracer

tracing.tracer.is_content_tracing_enabled = True
tracing.enable_tracing(OpenTelemetryTracer(provider().get_tracer("haystack")))


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "18C, rain in " + city


pipeline = Pipeline()
pipeline.add_component(
    "weather_agent",
    Agent(
        chat_generator=OpenAIChatGenerator(model="gpt-4o-mini"),
        tools=[get_weather],
        system_prompt="You are helpful.",
    ),
)
question = ChatMessage.from_user("What is the weather in Paris?")
print(pipeline.run({"weather_agent": {"messages": [question]}}))
