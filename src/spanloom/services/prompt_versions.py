"""Which version of a prompt is meant: the rule that prompts are given out by and that references are checked by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from spanloom.model import PromptTag, PromptVersion

PRODUCTION = "production"
# The first name inside {{ }}: what stands behind it (a filter, an attribute) is not the variable's.
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")


@dataclass(slots=True)
class PromptVersions:
    """All versions of one prompt, the newest first, and the versions that its tags point at."""

    versions: list[PromptVersion] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def by_slug(
        cls, versions: Sequence[PromptVersion], tags: Sequence[PromptTag]
    ) -> dict[str, Self]:
        found: dict[str, Self] = {}
        for version in versions:
            found.setdefault(version.slug, cls()).versions.append(version)
        for tag in tags:
            found[tag.slug].tags[tag.label] = tag.version
        return found

    @property
    def newest(self) -> PromptVersion:
        return self.versions[0]

    @property
    def status(self) -> str:
        return "live" if PRODUCTION in self.tags else "draft"

    def exact(self, version: str, tag: str) -> PromptVersion | None:
        """The version of this name, else that of the tag; None when it is not there or neither is given."""
        if version:
            return next((v for v in self.versions if v.version == version), None)
        return self.exact(self.tags[tag], "") if tag in self.tags else None

    def resolve(self, version: str, tag: str) -> PromptVersion | None:
        """The same, else the version of the tag, else the production version."""
        return self.exact(version, tag) or self.exact("", tag) or self.exact("", PRODUCTION)


def variables(*texts: str) -> list[str]:
    """The names of the variables in the texts, each once, in their order."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text)))
