import os

from exporting import provider
from openinference.instrumentation import using_attributes
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

SmolagentsInstrumentor().instrument(tracer_provider=provider())


@tool
def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: its name
    """
    return "18C, rain in " + city


agent = ToolCallingAgent(
    tools=[get_weather],
    model=OpenAIServerModel("gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="none"),
    name="weather_agent",
    description="Knows the weather.",
)
with using_attributes(session_id="session-1", user_id="ann"):
    agent.run("What is the weather in Paris?")
