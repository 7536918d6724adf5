"""A client and a server of MCP in one process, both traced by FastMCP itself."""

import asyncio

from exporting import provider

tracer = provider().get_tracer("weather")

from fastmcp import Client, FastMCP

server = FastMCP("weather")


@server.tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "18C, rain in " + city


@server.tool
def fail() -> str:
    """Fails."""
    raise ValueError("no such city")


async def main():
    async with Client(server) as client:
        with tracer.start_as_current_span("ask"):
            print(await client.call_tool("get_weather", {"city": "Paris"}))
            try:
                await client.call_tool("fail", {})
            except Exception as error:
                print(error)


asyncio.run(main())
