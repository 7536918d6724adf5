from exporting import provider
from openinference.instrumentation import using_attributes
from openinference.instrumentation.crewai import CrewAIInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor

made = provider()
CrewAIInstrumentor().instrument(tracer_provider=made)
OpenAIInstrumentor().instrument(tracer_provider=made)

from crewai import Agent, Crew, LLM, Task
from crewai.tools import tool


@tool("get_weather")
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "18C, rain in " + city


agent = Agent(
    role="weather_agent",
    goal="Tell the weather.",
    backstory="You are helpful.",
    tools=[get_weather],
    llm=LLM(model="openai/gpt-4o-mini"),
)
task = Task(description="What is the weather in Paris?", expected_output="a sentence", agent=agent)
with using_attributes(session_id="session-1", user_id="ann"):
    print(Crew(agents=[agent], tasks=[task]).kickoff())
