"""Messages that are kept as JSON: most who write or read a span do not look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from spanloom.genai.json import messages_from_json, messages_to_json
from spanloom.model.genai import GenAiMessage, Json


class StoredMessages(Sequence[GenAiMessage]):
    """Messages that are made of their JSON when they are first looked at."""

    __slots__ = ("_made", "json")

    def __init__(self, json: Json) -> None:
        self.json = json
        self._made: tuple[GenAiMessage, ...] | None = None

    def _messages(self) -> tuple[GenAiMessage, ...]:
        if self._made is None:
            self._made = messages_from_json(self.json)
        return self._made

    @overload
    def __getitem__(self, index: int) -> GenAiMessage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[GenAiMessage]: ...
    def __getitem__(self, index: int | slice) -> GenAiMessage | Sequence[GenAiMessage]:
        return self._messages()[index]

    def __bool__(self) -> bool:
        return bool(self.json)

    def __len__(self) -> int:
        return len(self._messages())

    def __iter__(self) -> Iterator[GenAiMessage]:
        return iter(self._messages())

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, StoredMessages) and self.json == other.json:
            return True
        return isinstance(other, Sequence) and self._messages() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._messages())


def messages_json(messages: Sequence[GenAiMessage]) -> Json:
    """The JSON of messages: of stored ones as it is stored."""
    return messages.json if isinstance(messages, StoredMessages) else messages_to_json(messages)
