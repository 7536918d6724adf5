"""The blocks of a message's content, in the dialects of model APIs and SDKs, as GenAI parts.

Sources: the JSON schemas of gen_ai.input.messages (open-telemetry/semantic-conventions,
docs/gen-ai); the request and response bodies of OpenAI's chat completions and responses,
Anthropic's messages, Google's generateContent, Amazon Bedrock's converse; the messages of
LangChain, LlamaIndex and the Vercel AI SDK.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from spanloom.genai.reading import parsed
from spanloom.model.genai import (
    Json,
    MediaPart,
    OtherPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

Block = dict[str, Any]

# One that may not fit in 64 bits, which is the most that a span's body can have.
_LONG_INTEGER: Final = re.compile(r"\d{19}")


def parts_of(content: Json) -> tuple[Part, ...]:
    """The parts of a message's content: a text, one block, or a list of texts and blocks."""
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    if content is None:
        return ()
    return tuple(map(part_of, content)) if isinstance(content, list) else (part_of(content),)


def part_of(block: Json) -> Part:
    """The part that a block is; `OtherPart` for one that no dialect knows."""
    if isinstance(block, str):
        return TextPart(block)
    if not isinstance(block, dict):
        return OtherPart(block)
    kind = block.get("type", block.get("block_type"))
    read = _BY_TYPE.get(kind.lower()) if isinstance(kind, str) else None
    if read is not None:
        part = read(block)
    else:
        part = next((read(block) for key, read in _BY_KEY if block.get(key) is not None), None)
    return OtherPart(block) if part is None else part


def is_block(value: Json) -> bool:
    """Whether a value is a block of content for sure, wherever it is found."""
    if not isinstance(value, dict) or "role" in value:
        return False
    kind = value.get("type")
    if isinstance(kind, str):
        return kind.lower() in _BY_TYPE and kind != "function"
    return not _SURE_KEYS.isdisjoint(value) or list(value) == ["text"]


def first(block: Json, *names: str) -> Json:
    """The first of these keys that the object has and whose value is not null."""
    if isinstance(block, dict):
        for name in names:
            if (value := block.get(name)) is not None:
                return value
    return None


def tool_call(call_id: Json, name: Json, arguments: Json) -> ToolCallPart:
    """A model's request to call a tool.

    Arguments that are JSON in a text are parsed, unless an integer would lose digits.
    """
    if isinstance(arguments, str) and not _LONG_INTEGER.search(arguments):
        arguments = parsed(arguments) if arguments else None
    return ToolCallPart(_text(call_id), _text(name), arguments)


def tool_result(call_id: Json, result: Json, name: Json = None) -> ToolResultPart:
    """What a tool returned, as a model was given it."""
    return ToolResultPart(_text(call_id), _text(name), joined(result))


def joined(content: Json) -> Json:
    """The text of a list of nothing but text blocks, a line each; any other value as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [_text_of(block) for block in content]
    return content if None in texts else "\n".join(filter(None, texts))


def openai_call(call: Json) -> ToolCallPart | None:
    """An OpenAI tool call; LangChain has the function's fields beside the id."""
    if not isinstance(call, dict):
        return None
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = first(inner, "arguments", "args", "input", "parameters")
    return tool_call(
        first(call, "id", "call_id", "toolCallId"), first(inner, "name", "toolName"), arguments
    )


def media(modality: str, where: Json, mime: Json, file_id: Json = None) -> MediaPart:
    """An image, a recording or a document: its address, or the base64 of it."""
    mime_type, where = _text(mime), _text(where)
    if where.startswith("data:") and ";base64," in where[:256]:
        head, _, content = where.partition(";base64,")
        return MediaPart("blob", content, modality, head[5:])
    if "://" in where[:64]:
        return MediaPart("uri", where, modality, mime_type)
    if where:
        return MediaPart("blob", where, modality, mime_type)
    return MediaPart("file", _text(file_id), modality, mime_type)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _text_of(block: Json) -> str | None:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type", "text") not in _TEXT_TYPES:
        return None
    text = first(block, "text", "content")
    return text if isinstance(text, str) else None


def _read_text(block: Block) -> Part | None:
    text = block.get("content")
    if text is None:
        text = first(block, "text", "refusal")
    if isinstance(text, dict):  # OpenAI's assistants
        text = text.get("value")
    if not isinstance(text, str):
        return None
    return ReasoningPart(text) if block.get("thought") is True else TextPart(text)


def _read_reasoning(block: Block) -> Part | None:
    said = first(
        block, "content", "thinking", "reasoning", "text", "reasoning_content", "reasoningText"
    )
    if not said:
        said = block.get("summary")
    if isinstance(said, dict):
        said = first(said, "text", "reasoningText")
    if isinstance(said, dict):  # Bedrock: reasoningContent.reasoningText.text
        said = first(said, "text")
    said = joined(said)
    if isinstance(said, list):
        said = "\n".join(t for item in said if isinstance(t := first(item, "text", "content"), str))
    return ReasoningPart(_text(said))


def _read_own_call(block: Block) -> Part | None:
    """A call in the words of the GenAI conventions, or LangChain's: its arguments stay as sent."""
    part = _read_call(block)
    if isinstance(part, ToolCallPart) and isinstance(arguments := block.get("arguments"), str):
        return ToolCallPart(part.id, part.name, arguments)
    return part


def _read_call(block: Block) -> Part | None:
    """Anthropic's tool_use, the Vercel AI SDK's tool-call, OpenAI's function_call."""
    call_id = first(block, "call_id", "toolCallId", "toolUseId", "tool_call_id", "id")
    name = first(block, "name", "toolName", "tool_name", "tool")
    arguments = first(block, "arguments", "args", "input", "tool_kwargs", "parameters")
    return openai_call(block) if name is None else tool_call(call_id, name, arguments)


def _read_result(block: Block) -> Part | None:
    call_id = first(
        block, "tool_use_id", "toolCallId", "toolUseId", "call_id", "tool_call_id", "id"
    )
    output = first(block, "response", "result", "output", "content")
    if isinstance(output, dict) and "value" in output and isinstance(output.get("type"), str):
        output = output["value"]  # the Vercel AI SDK 5 has the type of an output beside it
    return tool_result(call_id, output, first(block, "name", "toolName", "tool_name"))


def _read_media(block: Block) -> Part | None:
    """A media part in the words of the GenAI conventions; Weave's blobs have an address too."""
    kind = block["type"].lower()
    uri, value = block.get("uri"), block.get({"blob": "content", "file": "file_id"}.get(kind, ""))
    modality, mime_type = _text(block.get("modality")), _text(block.get("mime_type"))
    if isinstance(uri, str) or kind == "uri":
        return MediaPart("uri", _text(uri), modality, mime_type)
    return MediaPart(kind, _text(value), modality, mime_type)


def _google_call(block: Block) -> Part | None:
    call = first(block, "functionCall", "function_call")
    return tool_call(first(call, "id"), first(call, "name"), first(call, "args", "arguments"))


def _google_result(block: Block) -> Part | None:
    result = first(block, "functionResponse", "function_response")
    return tool_result(first(result, "id"), first(result, "response"), first(result, "name"))


def _inner(key: str, read: Callable[[Block], Part | None]) -> Callable[[Block], Part | None]:
    """The reader of a block that is an object under one key (Bedrock)."""
    return lambda block: read(block[key]) if isinstance(block[key], dict) else None


def _media_of(modality: str) -> Callable[[Block], Part | None]:
    def read(block: Block) -> Part | None:
        holder = first(
            block, "image_url", "input_audio", "source", "file", "image", "audio", "document"
        )
        source: Block = holder if isinstance(holder, dict) else block
        inner = source.get("image")
        if isinstance(inner, dict):
            source = inner
        where = (
            holder
            if isinstance(holder, str)
            else first(source, "url", "uri", "file_uri", "fileUri", "data", "bytes")
        )
        mime = first(source, "media_type", "mime_type", "mimeType", "mediaType") or first(
            block, "mediaType", "mimeType"
        )
        return media(modality, where, mime, first(source, "file_id", "id"))

    return read


def _google_media(key: str) -> Callable[[Block], Part | None]:
    def read(block: Block) -> Part | None:
        source = block[key]
        mime = _text(first(source, "mimeType", "mime_type"))
        kind = mime.partition("/")[0]
        modality = kind if kind in ("image", "audio", "video") else "document"
        return media(modality, first(source, "data", "fileUri", "file_uri"), mime)

    return read


_TEXT_TYPES: Final = ("text", "input_text", "output_text")
_CALL_TYPES: Final = ("tool_call", "tool-call", "tool_use", "function_call", "mcp_call")
_RESULT_TYPES: Final = (
    *("tool_call_response", "tool-result", "tool_result", "function_call_output"),
    *("tool_response", "toolresult"),
)
_REASONING_TYPES: Final = ("reasoning", "thinking", "reasoning_content", "reasoning_text")
_BY_TYPE: Final[dict[str, Callable[[Block], Part | None]]] = {
    **dict.fromkeys((*_TEXT_TYPES, "refusal", "summary_text"), _read_text),
    **dict.fromkeys(_REASONING_TYPES, _read_reasoning),
    **dict.fromkeys((*_CALL_TYPES, "function"), _read_call),
    "tool_call": _read_own_call,
    **dict.fromkeys(_RESULT_TYPES, _read_result),
    **dict.fromkeys(("image_url", "image", "input_image"), _media_of("image")),
    **dict.fromkeys(("input_audio", "audio"), _media_of("audio")),
    **dict.fromkeys(("input_file", "document"), _media_of("document")),
    **dict.fromkeys(("uri", "blob", "file"), _read_media),
}
_BY_KEY: Final[tuple[tuple[str, Callable[[Block], Part | None]], ...]] = (
    ("functionCall", _google_call),
    ("function_call", _google_call),
    ("functionResponse", _google_result),
    ("function_response", _google_result),
    ("toolUse", _inner("toolUse", _read_call)),
    ("toolResult", _inner("toolResult", _read_result)),
    ("reasoningContent", _inner("reasoningContent", _read_reasoning)),
    ("inlineData", _google_media("inlineData")),
    ("inline_data", _google_media("inline_data")),
    ("fileData", _google_media("fileData")),
    ("file_data", _google_media("file_data")),
    ("toolCallId", _read_call),
    ("text", _read_text),
    ("content", _read_text),
)

_SURE_KEYS: Final = frozenset(key for key, _ in _BY_KEY) - {"toolCallId", "text", "content"}

# The role of a block outside any message. A function is none of these: it may be a definition.
ROLES_OF_BLOCKS: Final = {
    **dict.fromkeys((*_CALL_TYPES, "reasoning", "thinking"), "assistant"),
    **dict.fromkeys(_RESULT_TYPES, "tool"),
}
