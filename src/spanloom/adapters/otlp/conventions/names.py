"""Names of the session and of the user that no SDK owns, and those of SDKs that name no more.

Sources: opentelemetry.io, registry attributes session, user and enduser; docs.wandb.ai, Weave
threads; the AI SDK's metadata.
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention
from spanloom.genai.reading import identifier, text
from spanloom.model import Json

_SESSIONS = (
    *("session.id", "session_id", "sessionId", "wandb.thread_id", "thread_id"),
    *(
        f"ai.telemetry.metadata.{name}"
        for name in (
            *("conversationId", "conversation_id", "chatId", "chat_id", "thread_id"),
            *("langfuseSessionId", "session.id"),
        )
    ),
    *("langfuse.trace.session_id", "langfuse.trace.sessionId", "langfuse.sessionId"),
    *("traceloop.association.properties.sessionId", "traceloop.association.properties.threadId"),
    *("traceloop.association.properties.session.id",),
    *("conversation_id", "conversation.id"),
)
_USERS = (
    *("user.id", "user_id", "userId", "enduser.id"),
    *("ai.telemetry.metadata.user_id", "ai.telemetry.metadata.langfuseUserId"),
    *("langfuse.trace.user_id", "langfuse.trace.userId", "langfuse.userId"),
    *("traceloop.association.properties.userId", "traceloop.association.properties.user.id"),
)


def _thread(value: Json) -> str | None:
    """thread.id is the number of a thread of the operating system, unless it is a text."""
    return identifier(text(value))


CONVENTION = Convention(
    "Names of sessions and users",
    rules=(
        *((key, "session_id", identifier) for key in _SESSIONS),
        ("thread.id", "session_id", _thread),
        *((key, "user_id", identifier) for key in _USERS),
    ),
)
