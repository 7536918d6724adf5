"""The path templates of `google.api.http`, parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

_IDENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a path segment may hold (RFC 3986), less ":" and "*", which the grammar uses.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")
_ENCODED_SLASH = re.compile("(%2[Ff])")


class Wild(Enum):
    """The segments of a template that are not literals: one segment of the path, or all that are left, even none."""

    ONE = "*"
    MANY = "**"


@dataclass(frozen=True, slots=True)
class Variable:
    """A path variable: its field path, the column (from 1) where that stands, and the segments that are its value.

    `end` is None where the value is all of the rest. `slashes`: the value may hold slashes, so an encoded one stays encoded.
    """

    path: str
    column: int
    first: int
    end: int | None
    slashes: bool

    def value(self, segments: list[str]) -> str:
        """The decoded value in a path that matched. Bytes that are not UTF-8 come as lone surrogates."""
        raw = "/".join(segments[self.first : self.end])
        if not self.slashes:
            return _decode(raw)
        return "".join(
            part if _ENCODED_SLASH.fullmatch(part) else _decode(part)
            for part in _ENCODED_SLASH.split(raw)
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; literals are percent-decoded."""

    text: str
    segments: tuple[str | Wild, ...]
    verb: str
    variables: tuple[Variable, ...]


class TemplateError(ValueError):
    """What is wrong with a template, and at which column (from 1)."""

    def __init__(self, why: str, column: int) -> None:
        super().__init__(why)
        self.why = why
        self.column = column


def parse_template(text: str) -> Template:
    """Parse by the grammar of google/api/http.proto. Raises TemplateError.

    Template = "/" Segments [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    FieldPath = IDENT { "." IDENT } ;
    Verb     = ":" LITERAL ;

    `**` must be the last part of the path except the Verb. A variable template must not contain other variables.
    """
    return _Parser(text).template()


def _decode(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text


class _Parser:
    """One method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.segments: list[str | Wild] = []
        self.variables: list[Variable] = []

    def template(self) -> Template:
        self.expect("/")
        self.parse_segments(in_variable=False)
        verb = self.literal("a verb") if self.take(":") else ""
        if self.at < len(self.text):
            raise self.error(f"unexpected {self.text[self.at]!r}")
        return Template(self.text, tuple(self.segments), verb, tuple(self.variables))

    def parse_segments(self, *, in_variable: bool) -> None:
        self.segment(in_variable)
        while self.take("/"):
            self.segment(in_variable)

    def segment(self, in_variable: bool) -> None:
        if self.segments and self.segments[-1] is Wild.MANY:
            raise self.error("** must be the last segment")
        if self.text.startswith("{", self.at):
            if in_variable:
                raise self.error("a variable inside a variable")
            self.variable()
        elif self.take("**"):
            self.segments.append(Wild.MANY)
        elif self.take("*"):
            self.segments.append(Wild.ONE)
        else:
            self.segments.append(self.literal("a segment"))

    def variable(self) -> None:
        self.expect("{")
        column, first = self.at + 1, len(self.segments)
        names = [self.ident()]
        while self.take("."):
            names.append(self.ident())
        path = ".".join(names)
        if any(variable.path == path for variable in self.variables):
            raise TemplateError(f"{path} stands twice", column)
        if self.take("="):
            self.parse_segments(in_variable=True)
        else:
            self.segments.append(Wild.ONE)
        self.expect("}")
        many = self.segments[-1] is Wild.MANY
        end = len(self.segments)
        slashes = many or end - first > 1
        self.variables.append(Variable(path, column, first, None if many else end, slashes))

    def ident(self) -> str:
        return self.token(_IDENT, "a field name")

    def literal(self, what: str) -> str:
        return _decode(self.token(_LITERAL, what))

    def token(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise self.error(f"expected {what}")
        self.at = match.end()
        return match[0]

    def take(self, token: str) -> bool:
        found = self.text.startswith(token, self.at)
        if found:
            self.at += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.error(f"expected {token!r}")

    def error(self, why: str) -> TemplateError:
        return TemplateError(why, self.at + 1)
