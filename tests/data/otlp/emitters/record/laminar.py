import os

from lmnr import Laminar, observe

Laminar.initialize(
    project_api_key="none",
    base_url="http://127.0.0.1",
    http_port=int(os.environ["RECORDER_PORT"]),
    force_http=True,
)
from tool_loop import converse, get_weather


@observe(name="weather_agent", session_id="session-1", user_id="ann")
def agent(question):
    return converse(observe(name="get_weather", span_type="TOOL")(get_weather))


agent("What is the weather in Paris?")
Laminar.flush()
Laminar.shutdown()
