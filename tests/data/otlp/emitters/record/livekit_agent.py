import asyncio

from exporting import provider
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.telemetry import set_tracer_provider
from livekit.plugins import openai

made = provider()
set_tracer_provider(made)


class Weather(Agent):
    def __init__(self):
        super().__init__(instructions="You are helpful.", id="weather_agent")

    @function_tool
    async def get_weather(self, city: str) -> str:
        """Weather of a city."""
        return "18C, rain in " + city


async def main():
    async with AgentSession(llm=openai.LLM(model="gpt-4o-mini")) as session:
        await session.start(Weather())
        result = await session.run(user_input="What is the weather in Paris?")
        print(result.events[-1])


asyncio.run(asyncio.wait_for(main(), 60))
made.shutdown()
