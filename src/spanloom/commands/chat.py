"""`spanloom chat`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from spanloom.commands.conditions import place_of
from spanloom.commands.connect import connects
from spanloom.commands.output import Output, output_options

if TYPE_CHECKING:
    from spanloom.client import Client
    from spanloom.model.turn import ChatMessage, TurnChat


@click.command()
@click.argument("given", metavar="ID")
@click.option(
    "--model-tool-calls",
    is_flag=True,
    help="Also show tool calls that occur only in a model's output.",
)
@output_options
@connects
def chat(client: Client, *, output: Output, given: str, model_tool_calls: bool) -> None:
    """Print a trace or a conversation (session) as a chat: messages, tool calls, handoffs."""
    place: dict[str, Any] = place_of(client, given)
    found = client.list_messages(**place, include_requested_tool_calls=model_tool_calls)
    if output.format != "table":
        output.rows(found, (), "message")
        return
    from rich.console import Console

    from spanloom.terminal import draw

    console = Console()
    for trace_id, messages in itertools.groupby(found, key=lambda message: message.trace_id):
        console.print(draw(_turn(client.get_trace(trace_id), messages)))
    sys.stdout.flush()


def _turn(trace: Any, messages: Iterable[Any]) -> TurnChat:
    """The chat of a trace in the types that the terminal draws."""
    from spanloom.model.turn import TurnChat
    from spanloom.v1.span_pb2 import STATUS_CODE_ERROR

    figures = trace.figures
    return TurnChat(
        trace_id=trace.trace_id,
        root_span_name=trace.name,
        status_code="ERROR" if trace.status.code == STATUS_CODE_ERROR else "",
        started_ns=trace.start_time.ToNanoseconds(),
        total_duration_ms=trace.duration.ToMilliseconds(),
        total_cost_usd=figures.cost_usd if figures.HasField("cost_usd") else None,
        total_input_tokens=figures.input_tokens,
        total_output_tokens=figures.output_tokens,
        messages=tuple(_message(message) for message in messages),
    )


def _message(message: Any) -> ChatMessage:
    from spanloom.model.turn import ChatMessage
    from spanloom.v1.span_pb2 import STATUS_CODE_ERROR

    failed = message.status.code == STATUS_CODE_ERROR
    return ChatMessage(
        payload=_payload(message, "ERROR" if failed else ""),
        agent_name=message.agent.name or None,
        status_message=message.status.message,
    )


def _payload(message: Any, status: str) -> Any:
    from spanloom.model import turn

    kind = message.WhichOneof("content")
    if kind is None:  # of a newer server
        return turn.UserMessage(text="")
    content = getattr(message, kind)
    milliseconds = message.duration.ToMilliseconds() if message.HasField("duration") else None
    match kind:
        case "user":
            return turn.UserMessage(text=content.text, content_refs=_media(content))
        case "response":
            return turn.AssistantMessage(
                text=content.text,
                model=content.model.response_model or content.model.request_model,
                reasoning_content=content.reasoning,
                duration_ms=milliseconds,
                status=status,
                content_refs=_media(content),
            )
        case "tool_call":
            return turn.ToolCall(
                tool_name=content.name,
                tool_arguments=_json(content, "arguments"),
                tool_result=_json(content, "result"),
                duration_ms=milliseconds,
                status=status,
                content_refs=_media(content),
            )
        case "agent_start":
            return turn.AgentStart(
                model=content.model, system_instructions=content.system_instructions
            )
        case "handoff":
            return turn.AgentHandoff(from_agent=content.from_agent, to_agent=content.to_agent)
    return turn.ContextCompacted(
        compaction_summary=content.summary,
        compaction_items_before=content.items_before,
        compaction_items_after=content.items_after,
    )


def _json(content: Any, name: str) -> str:
    """A JSON value as text; a string as it is."""
    from google.protobuf import json_format

    if not content.HasField(name):
        return ""
    value = getattr(content, name)
    if value.WhichOneof("kind") == "string_value":
        return str(value.string_value)
    return json_format.MessageToJson(value, indent=None, ensure_ascii=False)


def _media(content: Any) -> tuple[str, ...]:
    kinds = (
        media.uri or media.file_id or media.mime_type or media.modality or "media"
        for media in content.media
    )
    return tuple(kinds)
