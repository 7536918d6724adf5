"""JSON that an SDK cut at the most characters that an attribute may have."""

from __future__ import annotations

import re
from typing import Final

from spanloom.genai.reading import parsed
from spanloom.model.genai import Json

# SDKs cut far below that; a longer text is not worth the time of its reader.
_MOST_CHARACTERS: Final = 1_048_576
# Ends a text that was cut.
CUT_MARK: Final = "…"
_SDK_MARKS: Final = (CUT_MARK, "...", "truncated]", "truncated>", "truncated)")
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]++|\\.)*+")|(?P<open>[\[{])|(?P<close>[\]}])|(?P<mark>[,:])"""
    r"""|(?P<word>(?:-?[0-9][0-9.eE+-]*|true|false|null|NaN|-?Infinity)(?=\s*[,\]}])))""",
    re.DOTALL,
)
_BEGUN_TEXT: Final = re.compile(r'\s*"((?:[^"\\]++|\\.)*+)', re.DOTALL)
# Half of an escape at the end: a surrogate pair needs its other half as well.
_HALF_ESCAPE: Final = re.compile(
    r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z"
)
_CLOSES: Final = {"[": "]", "{": "}"}


def cut_json(value: str) -> Json:
    """The value of JSON whose end is missing, as far as it is there; None if it is no such JSON.

    A text in which it was cut ends with `CUT_MARK`. The work is linear.
    """
    if len(value) > _MOST_CHARACTERS:
        return None
    open_brackets: list[str] = []
    whole = place = 0  # up to where all is complete, but for the brackets
    is_value = True  # whether a text is a value here, and no key
    while (token := _TOKEN.match(value, place)) is not None:
        place = token.end()
        kind, said = token.lastgroup, token[0].strip()
        if kind == "open":
            open_brackets.append(said)
            whole, is_value = place, said == "["
        elif kind == "close":
            if not open_brackets or _CLOSES[open_brackets.pop()] != said:
                return None
            whole = place
        elif kind == "mark":
            is_value = said == ":" or (bool(open_brackets) and open_brackets[-1] == "[")
        elif is_value:
            whole = place
        if not open_brackets:
            return None
    if not open_brackets:
        return None
    kept = value[:whole]
    begun = _BEGUN_TEXT.match(value, place) if is_value else None
    if begun is not None:
        text = _HALF_ESCAPE.sub("", begun[1])
        mark = "" if text.endswith(_SDK_MARKS) else CUT_MARK
        kept = f'{value[:place]}"{text}{mark}"'
    found = parsed(kept + "".join(_CLOSES[bracket] for bracket in reversed(open_brackets)))
    return found if isinstance(found, list | dict) else None
