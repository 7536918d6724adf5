"""The words of operations that call a model: those of the GenAI conventions, and others in use."""

from __future__ import annotations

from typing import Final

# The words of the GenAI conventions for a call of a model.
CONVENTIONAL: Final = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
# Operations whose input and output are a conversation.
TALKS: Final = frozenset(
    {
        *("chat", "generate_content", "text_completion"),
        *("chat.completions", "chat.completions.create", "chat_completion", "chat_completions"),
        *("chat.completion", "completion", "completions", "response", "responses"),
        *("responses.create", "message", "messages", "messages.create", "generate", "generation"),
        *("generate_text", "text_generation", "generate_object", "stream_text", "stream_object"),
        *("converse", "converse_stream", "invoke_model", "inference", "llm", "llm_call"),
        *("chat.stream", "chat_stream", "acompletion", "completion.create", "text.completion"),
        *("text_completions", "aresponses", "response.create", "message.create"),
        *("messages.stream", "generate_content_stream", "invoke_model_with_response_stream"),
        *("llm.call", "call_llm", "llm_request", "beta.chat", "model_request", "model_call"),
    }
)
MODEL_OPERATIONS: Final = TALKS | {
    *("embeddings", "embedding", "embed", "embeddings.create", "embed_content", "aembedding")
}
