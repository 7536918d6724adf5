"""References to stored objects as clients know them: weave:///entity/project/object/name:digest.

Weave's own store writes them in another form, with a project id of its own, and so do traces that
were taken out of it; that form means nothing outside.
Source: docs/contracts/agent_chat.md, section 1.4.
"""

from __future__ import annotations

import re
from typing import Final

INNER: Final = "weave-trace-internal:"  # what the other form begins with
# JSON inside a text may write the slashes as `\/`.
_inner_project = re.compile(rf"{INNER}(\\?/)\1\1[^/\\\s\"']*")
_ENTITY: Final = "spanloom"


def outward(text: str, project_id: str) -> str:
    """The text with each inner reference in the form for clients of the project, `entity/project`
    or its name alone."""
    if INNER not in text:
        return text
    names = project_id if "/" in project_id else f"{_ENTITY}/{project_id}"
    entity, _, project = names.rpartition("/")
    return _inner_project.sub(
        lambda found: f"weave:{found[1] * 3}{entity}{found[1]}{project}", text
    )
