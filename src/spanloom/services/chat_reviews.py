"""The number of reviews that messages of a chat have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spanloom.store.store import Store
from spanloom.v1 import chat_pb2


async def count_reviews(
    store: Store, project: str, messages: Sequence[chat_pb2.ChatMessage]
) -> None:
    """Set how many reviews messages have."""
    shown = {message.span_id for message in messages if message.span_id}
    found = await store.feedback_on(project, [("span", span_id) for span_id in sorted(shown)])
    counted = Counter((feedback.target_id, feedback.trace_id) for feedback in found)
    for message in messages:
        message.review_count = (
            counted[message.span_id, ""] + counted[message.span_id, message.trace_id]
        )
