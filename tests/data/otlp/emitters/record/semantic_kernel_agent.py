import asyncio
import logging
from typing import Annotated

from exporting import provider
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

tracer = provider().get_tracer("weather")
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
handler = LoggingHandler()
handler.addFilter(logging.Filter("semantic_kernel"))
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.INFO)

from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function


class Weather:
    @kernel_function
    def get_weather(self, city: Annotated[str, "its name"]) -> str:
        """Weather of a city."""
        return "18C, rain in " + city


async def main():
    agent = ChatCompletionAgent(
        service=OpenAIChatCompletion(ai_model_id="gpt-4o-mini"),
        name="weather_agent",
        instructions="You are helpful.",
        plugins=[Weather()],
    )
    with tracer.start_as_current_span("weather", attributes={"session.id": "session-1"}):
        print(await agent.get_response(messages="What is the weather in Paris?"))


asyncio.run(main())
logs.shutdown()
