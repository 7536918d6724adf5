"""Which version of a prompt a version or tag selects, in GetPrompt and in the prompts that logs
name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from spanloom.model.catalog import PromptTag, PromptVersion

PRODUCTION = "production"
# The first name inside {{ }}: a filter or an attribute that follows is not its name.
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")


@dataclass(slots=True)
class PromptVersions:
    """All versions of one prompt, newest first, and the version of each of its tags."""

    versions: list[PromptVersion] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def by_slug(
        cls, versions: Sequence[PromptVersion], tags: Sequence[PromptTag]
    ) -> dict[str, Self]:
        by_slug: dict[str, Self] = {}
        for version in versions:
            by_slug.setdefault(version.slug, cls()).versions.append(version)
        for tag in tags:
            by_slug[tag.slug].tags[tag.label] = tag.version
        return by_slug

    @property
    def newest(self) -> PromptVersion:
        return self.versions[0]

    @property
    def status(self) -> str:
        return "live" if PRODUCTION in self.tags else "draft"

    def select(self, version: str, tag: str) -> PromptVersion | None:
        """The version with this name, else the version of the tag.

        None if there is no such version, or if both arguments are empty.
        """
        if not version and tag in self.tags:
            version = self.tags[tag]
        return next((v for v in self.versions if v.version == version), None) if version else None

    def select_or_fall_back(self, version: str, tag: str) -> PromptVersion | None:
        """As `select`, else the version of the tag, else the production version."""
        return self.select(version, tag) or self.select("", tag) or self.select("", PRODUCTION)


def variables(*texts: str) -> list[str]:
    """The names of the variables in the texts, each once, in their order."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text)))
