import openlit

openlit.init(disable_metrics=True)
from tool_loop import converse


@openlit.trace
def weather_agent(question):
    return converse()


weather_agent("What is the weather in Paris?")
