"""What every adapter checks alike: ids, texts that become columns, and violations, gathered before
a request is refused."""

from __future__ import annotations

from collections.abc import Callable

from spanloom.errors import Reason, Violation, invalid
from spanloom.model.ids import MAX_ID_LENGTH

MOST_VIOLATIONS = 100


class Violations:
    """What is wrong with one request. `refuse` raises INVALID_ARGUMENT with all of it; the
    hundredth violation raises at once.

    The reason is DUPLICATE_ID when nothing else is wrong, else INVALID_FIELD. `within` is where in
    the request all the fields are, like `trace.`. `spelled` makes the caller's path of one of
    field names; without it callers write these as they are.
    """

    def __init__(self, within: str = "", spelled: Callable[[str], str] = str) -> None:
        self._within = within
        self._spelled = spelled
        self._found: list[Violation] = []
        self._reasons: set[Reason] = set()

    def add(self, field: str, description: str, reason: Reason = Reason.INVALID_FIELD) -> None:
        violation = Violation(self._spelled(self._within + field), description)
        self._reasons.add(reason)
        if violation in self._found:  # where two fields are one to the caller
            return
        self._found.append(violation)
        if len(self._found) >= MOST_VIOLATIONS:
            self.refuse()

    def refuse(self) -> None:
        """Raise what was gathered, if anything."""
        if self._found:
            reason = self._reasons.pop() if len(self._reasons) == 1 else Reason.INVALID_FIELD
            raise invalid(self._found, reason)

    def same_id(self, field: str, first: str) -> None:
        """Report a duplicate id at `field`; `first` is the path of its first occurrence."""
        where = self._spelled(self._within + first).removeprefix(self._within)
        self.add(field, f"is the same id as {where}", Reason.DUPLICATE_ID)

    def check_id(self, field: str, text: str) -> None:
        """Ids are 1 to 256 characters without NUL; anything else may occur in them."""
        if not text:
            self.add(field, "is required")
        elif len(text) > MAX_ID_LENGTH:
            self.add(field, f"must have at most {MAX_ID_LENGTH} characters, but has {len(text)}")
        self.check_text(field, text)

    def check_text(self, field: str, text: str) -> None:
        """Text that becomes a column: SQL databases hold no NUL there."""
        if "\0" in text:
            self.add(field, "must not contain the character NUL (U+0000)")

    def check_word(self, field: str, word: str, words: tuple[str, ...]) -> None:
        """A required word of a closed set."""
        if word not in words:
            choice = ", ".join(words)
            self.add(
                field,
                f'"{word[:64]}" is not one of {choice}'
                if word
                else f"is required: must be one of {choice}",
            )


def possible_id(text: str) -> bool:
    """Whether anything can be stored under this id; a read of an impossible one is answered without
    asking the store."""
    return 0 < len(text) <= MAX_ID_LENGTH and "\0" not in text
