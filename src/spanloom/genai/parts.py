"""Parts of a message in the dialects of model APIs and SDKs, as parts of the OpenTelemetry GenAI conventions.

    {"type": "text", "content"}    {"type": "reasoning", "content"}
    {"type": "tool_call", "id"?, "name", "arguments"}    {"type": "tool_call_response", "id"?, "name"?, "response"}
    {"type": "uri", "modality"?, "mime_type"?, "uri"}    {"type": "blob", "modality"?, "mime_type"?, "content"}
    {"type": "file", "modality"?, "mime_type"?, "file_id"}

Sources: the JSON schemas of gen_ai.input.messages (open-telemetry/semantic-conventions, docs/gen-ai); the request and response
bodies of OpenAI's chat completions and responses, Anthropic's messages, Google's generateContent, Amazon Bedrock's converse;
the messages of LangChain, LlamaIndex and the Vercel AI SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spanloom.genai.reading import json_text, structured
from spanloom.model import Json

Part = dict[str, Any]


def text_part(text: str) -> Part:
    return {"type": "text", "content": text}


def parts_of(content: Json) -> list[Part]:
    """The parts of a message's content, whatever it is: text, one block, a list of blocks."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    if isinstance(content, list):
        return [part for block in content for part in _block(block)]
    return _block(content)


def _block(block: Json) -> list[Part]:
    if isinstance(block, str):
        return [text_part(block)] if block else []
    if block is None:
        return []
    if not isinstance(block, dict):
        return [text_part(json_text(block))]
    kind = block.get("type", block.get("block_type"))
    if isinstance(kind, str):
        read = _BY_TYPE.get(kind)
        part = read(block) if read else _untyped(block) or dict(block)
    else:
        part = _untyped(block) or text_part(json_text(block))
    return [part] if part.get("content") != "" else []


def _untyped(block: Part) -> Part | None:
    """A block that tells by a key what it is (Google, Bedrock), or just has a text."""
    for key, read in _BY_KEY:
        if block.get(key) is not None:
            return read(block)
    return None


def first(block: Json, *names: str) -> Json:
    """The first of these that the object has and that is not null."""
    for name in names:
        value = block.get(name) if isinstance(block, dict) else None
        if value is not None:
            return value
    return None


def tool_call(call_id: Json, name: Json, arguments: Json) -> Part:
    """A request of the model to call a tool. Arguments that are JSON in text are parsed."""
    part: Part = {"type": "tool_call"}
    if call_id:
        part["id"] = call_id
    part["name"] = name if isinstance(name, str) else ""
    arguments = structured(arguments)
    if arguments is not None:
        part["arguments"] = arguments
    return part


def tool_response(call_id: Json, response: Json, name: Json = None) -> Part:
    """What a tool gave back, as a model was told."""
    part: Part = {"type": "tool_call_response"}
    if call_id:
        part["id"] = call_id
    if isinstance(name, str) and name:
        part["name"] = name
    part["response"] = joined(response)
    return part


def joined(content: Json) -> Json:
    """A list of nothing but text blocks is their text; all else stays as it is."""
    if not isinstance(content, list) or not content:
        return content
    texts = [_text_of(block) for block in content]
    return content if None in texts else "\n".join(filter(None, texts))


def _text_of(block: Json) -> str | None:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type", "text") not in (
        "text",
        "input_text",
        "output_text",
    ):
        return None
    text = first(block, "text", "content")
    return text if isinstance(text, str) else None


def openai_call(call: Json) -> Part | None:
    """An OpenAI tool call, or one of LangChain or of a flattened attribute, which have the function's fields beside the id."""
    if not isinstance(call, dict):
        return None
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = first(inner, "arguments", "args", "input", "parameters")
    return tool_call(
        first(call, "id", "call_id", "toolCallId"), first(inner, "name", "toolName"), arguments
    )


def _text(block: Part) -> Part:
    text = first(block, "text", "content", "refusal")
    if block.get("thought") is True:
        return {"type": "reasoning", "content": json_text(text)}
    return text_part("" if text is None else json_text(text))


def _reasoning(block: Part) -> Part:
    said = first(
        block, "content", "thinking", "reasoning", "text", "reasoning_content", "reasoningText"
    )
    if not said:
        said = block.get("summary")
    if isinstance(said, dict):
        said = first(said, "text", "reasoningText")
    said = joined(said) if isinstance(said, list) else said
    if isinstance(said, list):
        said = "\n".join(t for item in said if isinstance(t := first(item, "text", "content"), str))
    return {"type": "reasoning", "content": said if isinstance(said, str) else ""}


def _call(block: Part) -> Part:
    """Anthropic's tool_use, the Vercel AI SDK's tool-call, LangChain's tool_call, the responses API's function_call."""
    call_id = first(block, "call_id", "toolCallId", "toolUseId", "tool_call_id", "id")
    name = first(block, "name", "toolName", "tool_name", "tool")
    arguments = first(block, "arguments", "args", "input", "tool_kwargs", "parameters")
    if name is None:
        return openai_call(block) or block
    return tool_call(call_id, name, arguments)


def _result(block: Part) -> Part:
    call_id = first(
        block, "tool_use_id", "toolCallId", "toolUseId", "call_id", "tool_call_id", "id"
    )
    output = first(block, "response", "result", "output", "content")
    if isinstance(output, dict) and "value" in output and isinstance(output.get("type"), str):
        output = output["value"]  # the Vercel AI SDK 5 tells the type of an output beside it
    return tool_response(call_id, output, first(block, "name", "toolName", "tool_name"))


def _google_call(block: Part) -> Part:
    call = first(block, "functionCall", "function_call")
    return tool_call(first(call, "id"), first(call, "name"), first(call, "args", "arguments"))


def _google_response(block: Part) -> Part:
    told = first(block, "functionResponse", "function_response")
    return tool_response(first(told, "id"), first(told, "response"), first(told, "name"))


def _bedrock_call(block: Part) -> Part:
    return _call(block["toolUse"]) if isinstance(block["toolUse"], dict) else text_part("")


def _bedrock_result(block: Part) -> Part:
    return _result(block["toolResult"]) if isinstance(block["toolResult"], dict) else text_part("")


def _media(modality: str) -> Callable[[Part], Part]:
    def read(block: Part) -> Part:
        holder = first(
            block, "image_url", "input_audio", "source", "file", "image", "audio", "document"
        )
        source: Part = holder if isinstance(holder, dict) else block
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


def media(modality: str, where: Json, mime: Json, file_id: Json = None) -> Part:
    """An image, a recording or a document: where it is, or the base64 of it."""
    part: Part = {"type": "file", "modality": modality}
    if isinstance(mime, str) and mime:
        part["mime_type"] = mime
    if isinstance(where, str) and where.startswith("data:") and ";base64," in where[:256]:
        head, _, where = where.partition(";base64,")
        return {**part, "type": "blob", "mime_type": head[5:], "content": where}
    if isinstance(where, str) and "://" in where[:64]:
        return {**part, "type": "uri", "uri": where}
    if isinstance(where, str) and where:
        return {**part, "type": "blob", "content": where}
    if file_id:
        part["file_id"] = file_id
    return part


def _google_media(key: str) -> Callable[[Part], Part]:
    def read(block: Part) -> Part:
        source = first(block, key)
        mime = first(source, "mimeType", "mime_type")
        kind = mime.partition("/")[0] if isinstance(mime, str) else ""
        modality = kind if kind in ("image", "audio", "video") else "document"
        return media(modality, first(source, "data", "fileUri", "file_uri"), mime)

    return read


def _same(block: Part) -> Part:
    return block


_BY_TYPE: dict[str, Callable[[Part], Part]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text"), _text),
    **dict.fromkeys(("reasoning", "thinking", "reasoning_content", "reasoning_text"), _reasoning),
    **dict.fromkeys(
        ("tool_call", "tool-call", "tool_use", "function_call", "function", "mcp_call"), _call
    ),
    **dict.fromkeys(
        (
            "tool_call_response",
            "tool-result",
            "tool_result",
            "function_call_output",
            "tool_response",
        ),
        _result,
    ),
    **dict.fromkeys(("image_url", "image", "input_image"), _media("image")),
    **dict.fromkeys(("input_audio", "audio"), _media("audio")),
    **dict.fromkeys(("input_file", "document"), _media("document")),
    **dict.fromkeys(("uri", "blob", "file"), _same),
}
_BY_KEY: tuple[tuple[str, Callable[[Part], Part]], ...] = (
    ("functionCall", _google_call),
    ("function_call", _google_call),
    ("functionResponse", _google_response),
    ("function_response", _google_response),
    ("toolUse", _bedrock_call),
    ("toolResult", _bedrock_result),
    ("reasoningContent", lambda block: _reasoning({"content": block["reasoningContent"]})),
    ("inlineData", _google_media("inlineData")),
    ("inline_data", _google_media("inline_data")),
    ("fileData", _google_media("fileData")),
    ("file_data", _google_media("file_data")),
    ("toolCallId", _call),
    ("text", _text),
    ("content", _text),
)

# Who says a part that stands among messages without being in one.
ROLES_OF_PARTS = {
    **dict.fromkeys(
        ("tool_call", "tool-call", "tool_use", "function_call", "reasoning", "thinking"),
        "assistant",
    ),
    **dict.fromkeys(
        ("tool_call_response", "tool-result", "tool_result", "function_call_output"), "tool"
    ),
}
