"""Values as Python prints them, which some instrumentations put into attributes."""

from __future__ import annotations

import ast
from typing import Any, Final

# The pattern of a string literal, as one group.
STRING: Final = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""


def literal(printed: str) -> Any:
    """The value of a literal; the text itself if it is none."""
    try:
        return ast.literal_eval(printed)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return printed
