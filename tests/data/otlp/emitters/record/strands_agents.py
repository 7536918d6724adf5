from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.telemetry import StrandsTelemetry

import os


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "18C, rain in " + city


telemetry = StrandsTelemetry()
telemetry.setup_otlp_exporter()
agent = Agent(
    model=OpenAIModel(
        client_args={"base_url": os.environ["OPENAI_BASE_URL"], "api_key": "none"},
        model_id="gpt-4o-mini",
    ),
    tools=[get_weather],
    name="weather_agent",
    system_prompt="You are helpful.",
    trace_attributes={"session.id": "session-1", "user.id": "ann"},
    callback_handler=None,
)
agent("What is the weather in Paris?")
telemetry.tracer_provider.shutdown()
