import os

import agentops

agentops.init(
    api_key="00000000-0000-0000-0000-000000000000",
    endpoint=os.environ["RECORDER"],
    exporter_endpoint=os.environ["RECORDER"] + "/v1/traces",
    auto_start_session=False,
    tags=["weather"],
)
from agentops.sdk.decorators import agent, operation, tool

from tool_loop import converse
from tool_loop import get_weather as plain


@tool(name="get_weather")
def get_weather(city):
    return plain(city)


@agent(name="weather_agent")
class Weather:
    @operation(name="ask")
    def ask(self, question):
        return converse(get_weather)


trace = agentops.start_trace("weather", tags=["weather"])
Weather().ask("What is the weather in Paris?")
agentops.end_trace(trace, "Success")
from opentelemetry.trace import get_tracer_provider

get_tracer_provider().shutdown()
