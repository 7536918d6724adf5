"""Which users a span names, and to whom the spans of a trace belong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spanloom.model.genai import Json
from spanloom.model.span import Span

# The properties of an event that are the id of its user, the first one first.
_PROPERTIES = ("user_id", "user", "id")
# Keys of any JSON that mean the id of a user, however they are spelled; and those of objects that
# describe a user.
_KEYS = re.compile(r"(?:end[_.-]?)?user(?:[_.-]?id)?", re.IGNORECASE)
_USERS = frozenset({"user", "user_properties", "enduser"})


def named_users(span: Span) -> list[str]:
    """The ids of the users that a span names: that of its trace facts first, then those of the
    event's properties."""
    properties = span.io.user_properties
    found: list[Json] = [span.trace.user.id if span.trace.user else None]
    if isinstance(properties, Mapping):
        found += [properties.get(name) for name in _PROPERTIES]
    return [spelled for one in found if (spelled := _spelled(one))]


def spans_of_user(spans: Sequence[Span], user_id: str, trace_user: str = "") -> list[Span]:
    """The spans of a trace that belong to a user.

    A span belongs to the users that it names. A span that names none belongs to those of the
    nearest span above it that names one. Where there is none, it belongs to the user of the trace,
    else to the one user that the trace's spans name, if they name one alone.

    Args:
        spans: All spans of the trace.
        trace_user: The user of the trace's row, "" for none.
    """
    named = {span.span_id: frozenset(named_users(span)) for span in spans}
    everybody = frozenset().union(*named.values())
    if trace_user:
        rest = frozenset([trace_user])
    else:
        rest = everybody if len(everybody) == 1 else frozenset()
    parents = {span.span_id: span.parent_id for span in spans}
    known: dict[str, frozenset[str]] = {span_id: users for span_id, users in named.items() if users}
    for span in spans:
        path: list[str] = []
        at = span.span_id
        seen: set[str] = set()
        while at in parents and at not in known and at not in seen:
            seen.add(at)
            path.append(at)
            at = parents[at]
        users = known.get(at, rest)
        known.update(dict.fromkeys(path, users))
    return [span for span in spans if user_id in known[span.span_id]]


def carries(value: Json, user_id: str) -> bool:
    """Whether a value inside JSON is the id of the user: under a key that means a user's id, at any
    depth. Another value that is spelled alike is not."""
    waiting = [(value, False)]
    while waiting:
        one, of_user = waiting.pop()
        if isinstance(one, Mapping):
            for key, inner in one.items():
                if isinstance(inner, (Mapping, list)):
                    waiting.append((inner, key in _USERS))
                elif (_KEYS.fullmatch(key) or (of_user and key == "id")) and _spelled(
                    inner
                ) == user_id:
                    return True
        elif isinstance(one, list):
            waiting += [(inner, of_user) for inner in one]
    return False


def _spelled(value: Json) -> str:
    """An id as text, "" for what is none."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    return ""
