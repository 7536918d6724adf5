from exporting import provider
from haystack import tracing
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool

made = provider()
from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer

tracing.tracer.is_content_tracing_enabled = True
tracing.enable_tracing(OpenTelemetryTracer(made.get_tracer("haystack")))


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "18C, rain in " + city


agent = Agent(
    chat_generator=OpenAIChatGenerator(model="gpt-4o-mini"),
    tools=[get_weather],
    system_prompt="You are helpful.",
)
agent.warm_up()
question = ChatMessage.from_user("What is the weather in Paris?")
with made.get_tracer("weather").start_as_current_span(
    "weather", attributes={"session.id": "session-1", "user.id": "ann"}
):
    print(agent.run(messages=[question])["last_message"])
