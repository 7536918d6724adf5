"""The words of operations that call a model: those of the GenAI conventions, and others in use."""

from __future__ import annotations

from typing import Final

# Operations whose input and output are a conversation.
TALKS: Final = frozenset(
    {
        *("chat", "generate_content", "text_completion"),
        *("chat.completions", "chat.completions.create", "chat_completion", "chat_completions"),
        *("chat.completion", "completion", "completions", "response", "responses"),
        *("responses.create", "message", "messages", "messages.create", "generate", "generation"),
        *("generate_text", "text_generation", "generate_object", "stream_text", "stream_object"),
        *("converse", "converse_stream", "invoke_model", "inference", "llm", "llm_call"),
    }
)
MODEL_OPERATIONS: Final = TALKS | {"embeddings", "embedding", "embed", "embeddings.create"}
