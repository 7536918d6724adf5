import asyncio

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from pipecat.utils.tracing.setup import setup_tracing

setup_tracing(service_name="weather", exporter=OTLPSpanExporter())

from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.adapters.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import EndFrame, LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.services.openai.llm import OpenAILLMService

try:
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker as Task
    from pipecat.workers.runner import WorkerRunner as Runner
except ImportError:
    from pipecat.pipeline.runner import PipelineRunner as Runner
    from pipecat.pipeline.task import PipelineParams, PipelineTask as Task


async def get_weather(params):
    await params.result_callback("18C, rain in " + params.arguments["city"])


async def main():
    llm = OpenAILLMService(api_key="none", settings=OpenAILLMService.Settings(model="gpt-4o-mini"))
    llm.register_function("get_weather", get_weather)
    tools = ToolsSchema(
        standard_tools=[
            FunctionSchema(
                "get_weather", "Weather of a city.", {"city": {"type": "string"}}, ["city"]
            )
        ]
    )
    context = LLMContext(
        [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": "What is the weather in Paris?"},
        ],
        tools,
    )
    pair = LLMContextAggregatorPair(context)
    task = Task(
        Pipeline([pair.user(), llm, pair.assistant()]),
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        enable_tracing=True,
        enable_turn_tracking=True,
        conversation_id="session-1",
        additional_span_attributes={"user.id": "ann"},
    )
    runner = Runner()

    async def ask():
        await task.queue_frames([LLMRunFrame()])
        for _ in range(100):
            await asyncio.sleep(0.1)
            if any(
                isinstance(m, dict) and "18C and" in str(m.get("content")) for m in context.messages
            ):
                break
        await asyncio.sleep(0.5)
        await task.queue_frames([EndFrame()])

    if hasattr(runner, "add_workers"):
        await runner.add_workers(task)
        await asyncio.gather(runner.run(), ask())
    else:
        await asyncio.gather(runner.run(task), ask())
    print(context.messages)


asyncio.run(asyncio.wait_for(main(), 60))
from opentelemetry import trace

trace.get_tracer_provider().shutdown()
