"""The names of projects."""

from __future__ import annotations

from typing import NamedTuple

from spanloom.errors import invalid_field
from spanloom.model.limits import Limits

# The project of an instance key, which may use any project.
INSTANCE = "*"
DEFAULT_PROJECT = "default"
MAX_PROJECT_LENGTH = 128


def is_project(name: str) -> bool:
    """Whether a project can have a name."""
    return 0 < len(name) <= MAX_PROJECT_LENGTH and name.isprintable() and name != INSTANCE


class ProjectEntry(NamedTuple):
    """A project in a list. `retention_days` None, like a limit, is what the settings say."""

    name: str
    created_ns: int
    retention_days: int | None
    limits: Limits


def checked_project(name: str) -> str:
    """The name, if a project can have it: 1 to 128 printable characters, and not "*".

    Raises:
        SpanloomError: INVALID_ARGUMENT for any other name.
    """
    if not is_project(name):
        raise invalid_field(
            "project", f"must have 1 to {MAX_PROJECT_LENGTH} printable characters and must not be *"
        )
    return name
