"""The blocks of a message's content, in the dialects of model APIs and SDKs, as GenAI parts.

Sources: the JSON schemas of gen_ai.input.messages (open-telemetry/semantic-conventions,
docs/gen-ai); the request and response bodies of OpenAI's chat completions and responses,
Anthropic's messages, Google's generateContent, Amazon Bedrock's converse; the messages of
LangChain, LlamaIndex, the Vercel AI SDK, Genkit and Haystack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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
_Read = Callable[[Block], Part | None]

_EMPTY: Final[tuple[Json, ...]] = (None, "", [], {})

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


def filled(block: Json, *names: str) -> Json:
    """As `first`; of nothing but empty values the first of these."""
    found = first(block, *names)
    if found in _EMPTY and isinstance(block, dict):
        return next((v for name in names if (v := block.get(name)) not in _EMPTY), found)
    return found


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
    return ReasoningPart(_reasoning_text(filled(block, *_REASONING_TEXTS)))


def _reasoning_text(said: Json) -> str:
    """The text of reasoning, below as many keys as APIs have: Bedrock's is under
    reasoningContent.reasoningText.text."""
    for _ in range(4):
        if not isinstance(said, dict):
            break
        said = filled(said, *_REASONING_TEXTS)
    said = joined(said)
    if isinstance(said, list):
        texts = (item if isinstance(item, str) else first(item, *_TEXT_KEYS) for item in said)
        said = "\n".join(text for text in texts if isinstance(text, str))
    return _text(said)


def reasoning_beside(item: Mapping[str, Json]) -> ReasoningPart | None:
    """The reasoning that a message has beside its content."""
    for holder in (item, item.get("provider_specific_fields"), item.get("additional_kwargs")):
        if isinstance(holder, Mapping):
            for key in _REASONINGS_BESIDE:
                if (said := holder.get(key)) and (text := _reasoning_text(said)):
                    return ReasoningPart(text)
    return None


def _read_own_call(block: Block) -> Part | None:
    """A call in the words of the GenAI conventions, or LangChain's: its arguments stay as sent."""
    part = _read_call(block)
    if isinstance(part, ToolCallPart) and isinstance(arguments := block.get("arguments"), str):
        return ToolCallPart(part.id, part.name, arguments)
    return part


def _read_call(block: Block) -> Part | None:
    """Anthropic's tool_use, the Vercel AI SDK's tool-call, OpenAI's function_call."""
    call_id = first(block, *_CALL_IDS)
    name = first(block, "name", "toolName", "tool_name", "tool")
    arguments = first(block, "arguments", "args", "input", "tool_kwargs", "parameters")
    return openai_call(block) if name is None else tool_call(call_id, name, arguments)


def _read_result(block: Block) -> Part | None:
    call_id = first(block, *_CALL_IDS)
    output = filled(block, "response", "result", "output", "content", "details", "value", "text")
    if isinstance(output, dict) and "value" in output and isinstance(output.get("type"), str):
        output = output["value"]  # the Vercel AI SDK 5 has the type of an output beside it
    return tool_result(call_id, output, first(block, "name", "toolName", "tool_name"))


def _read_media(block: Block) -> Part | None:
    """A media part in the words of the GenAI conventions; Weave's blobs have an address too. Others
    have their words under the same types."""
    kind = block["type"].lower()
    uri, value = block.get("uri"), block.get({"blob": "content", "file": "file_id"}.get(kind, ""))
    modality, mime_type = _text(block.get("modality")), _text(block.get("mime_type"))
    if isinstance(uri, str) or kind == "uri":
        return MediaPart("uri", _text(uri), modality, mime_type)
    if not isinstance(value, str) and (part := _media_of(modality)(block)).value:
        return part
    return MediaPart(kind, _text(value), modality, mime_type)


def _google_call(block: Block) -> Part | None:
    call = first(block, "functionCall", "function_call")
    return tool_call(first(call, "id"), first(call, "name"), first(call, "args", "arguments"))


def _google_result(block: Block) -> Part | None:
    result = first(block, "functionResponse", "function_response")
    return tool_result(first(result, "id"), first(result, "response"), first(result, "name"))


def _haystack_result(block: Block) -> Part | None:
    result = block["tool_call_result"]
    call = first(result, "origin")
    return tool_result(first(call, "id"), first(result, "result"), first(call, "tool_name"))


def _inner(read: _Read, *keys: str) -> Mapping[str, _Read]:
    """For each key the reader of a block that is an object under it (Bedrock)."""

    def reader(key: str) -> _Read:
        return lambda block: read(block[key]) if isinstance(block[key], dict) else None

    return {key: reader(key) for key in keys}


def _media_of(modality: str) -> Callable[[Block], MediaPart]:
    """The reader of media of a modality, "" for that of its type."""

    def read(block: Block) -> MediaPart:
        holder = first(block, *_MEDIA_HOLDERS)
        source: Block = holder if isinstance(holder, dict) else block
        for key in ("source", "image"):  # Bedrock has the bytes in a source of its own
            if isinstance(inner := source.get(key), dict):
                format_of, source = source.get("format"), {**inner}
                source.setdefault("format", format_of)
        where = holder if isinstance(holder, str) else first(source, *_MEDIA_PLACES)
        mime = first(source, *_MIME_TYPES) or first(block, *_MIME_TYPES)
        form = source.get("format")
        if not mime and isinstance(form, str):
            mime = f"{'application' if modality == 'document' else modality}/{form}"
        return media(
            modality or _modality(_text(mime)), where, mime, first(source, "file_id", "id")
        )

    return read


def _modality(mime: str) -> str:
    kind = mime.partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "document"


def _google_media(key: str) -> Callable[[Block], Part | None]:
    def read(block: Block) -> Part | None:
        source = block[key]
        mime = _text(first(source, "mimeType", "mime_type"))
        return media(_modality(mime), first(source, "data", "fileUri", "file_uri"), mime)

    return read


_TEXT_TYPES: Final = ("text", "input_text", "output_text")
_TEXT_KEYS: Final = ("text", "content", "thinking", "summary")
_CALL_IDS: Final = (
    *("call_id", "tool_use_id", "toolCallId", "toolUseId", "tool_call_id", "callId", "id"),
    "ref",
)
_CALL_TYPES: Final = (
    *("tool_call", "tool_use", "function_call", "mcp_call", "toolcall", "functioncall"),
    *("custom_tool_call", "mcp_tool_use", "server_tool_use", "tooluse"),
)
_RESULT_TYPES: Final = (
    *("tool_call_response", "tool_result", "tool_response", "tool_return", "toolresult"),
    *("tool_call_result", "tool_call_output", "tool_output", "toolresponse", "mcp_tool_result"),
    *("function_call_output", "function_response", "function_result", "function_call_result"),
    *("custom_tool_call_output", "functionresponse"),
)
_REASONING_TYPES: Final = (
    *("reasoning", "thinking", "reasoning_content", "reasoning_text", "thought"),
    "reasoningcontent",
)
_REASONING_TEXTS: Final = (
    *("content", "thinking", "reasoning", "text", "reasoning_content", "reasoningContent"),
    *("reasoningText", "reasoning_text", "summary", "details"),
)
_REASONINGS_BESIDE: Final = (
    *("reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoningContent"),
    *("reasoning_details", "thinking_blocks"),
)
_MEDIA_HOLDERS: Final = (
    *("image_url", "input_audio", "audio_url", "video_url", "source", "file", "image", "audio"),
    *("video", "document"),
)
_MEDIA_PLACES: Final = (
    *("url", "uri", "file_uri", "fileUri", "data", "bytes", "file_data", "file_url", "base64"),
)
_MIME_TYPES: Final = ("media_type", "mime_type", "mimeType", "mediaType", "content_type")


def _with_hyphens(types: Iterable[str]) -> tuple[str, ...]:
    return tuple({*types, *(kind.replace("_", "-") for kind in types)})


_BY_TYPE: Final[dict[str, _Read]] = {
    **dict.fromkeys((*_TEXT_TYPES, "refusal", "summary_text"), _read_text),
    **dict.fromkeys(_with_hyphens(_REASONING_TYPES), _read_reasoning),
    **dict.fromkeys((*_with_hyphens(_CALL_TYPES), "function"), _read_call),
    "tool_call": _read_own_call,
    **dict.fromkeys(_with_hyphens(_RESULT_TYPES), _read_result),
    **dict.fromkeys(("image_url", "image", "input_image"), _media_of("image")),
    **dict.fromkeys(("input_audio", "audio", "audio_url"), _media_of("audio")),
    **dict.fromkeys(("video", "video_url", "input_video"), _media_of("video")),
    **dict.fromkeys(("input_file", "document"), _media_of("document")),
    **dict.fromkeys(("uri", "blob", "file"), _read_media),
    "media": _media_of(""),
}
_BY_KEY: Final[tuple[tuple[str, _Read], ...]] = (
    ("functionCall", _google_call),
    ("function_call", _google_call),
    ("functionResponse", _google_result),
    ("function_response", _google_result),
    *_inner(_read_call, "toolUse", "tool_use", "toolCall", "tool_call").items(),
    *_inner(_read_result, "toolResult", "tool_result", "tool_call_response").items(),
    *_inner(_read_call, "toolRequest").items(),  # Genkit
    *_inner(_read_result, "toolResponse").items(),
    ("tool_call_result", _haystack_result),
    *_inner(_read_reasoning, "reasoningContent", "reasoning_content").items(),
    ("reasoning", _read_reasoning),
    ("inlineData", _google_media("inlineData")),
    ("inline_data", _google_media("inline_data")),
    ("fileData", _google_media("fileData")),
    ("file_data", _google_media("file_data")),
    *((modality, _media_of(modality)) for modality in ("image", "document", "video", "audio")),
    ("toolCallId", _read_call),
    ("text", _read_text),
    ("content", _read_text),
)

_SURE_KEYS: Final = frozenset(key for key, _ in _BY_KEY) - {
    *("toolCallId", "text", "content", "image", "document", "video", "audio"),
    *("tool_call", "tool_result", "reasoning_content", "reasoning", "tool_call_result"),
}

# The role of a block outside any message. A function is none of these: it may be a definition.
ROLES_OF_BLOCKS: Final = {
    **dict.fromkeys((*_with_hyphens(_CALL_TYPES), "reasoning", "thinking"), "assistant"),
    **dict.fromkeys(_with_hyphens(_RESULT_TYPES), "tool"),
}
