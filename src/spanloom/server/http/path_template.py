"""The path templates of `google.api.http` that the contract uses, parsed.

    Template = "/" Segment { "/" Segment } [ ":" LITERAL ] ;
    Segment  = LITERAL | "{" IDENT { "." IDENT } "}" ;

The grammar of google/api/http.proto also has `*`, `**` and variables of several segments
(`{name=projects/*}`); they are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_IDENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a path segment may hold (RFC 3986), less ":" and "*", which the grammar uses.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A path variable: its field path, its column in the template (from 1), and its segment."""

    path: str
    column: int
    index: int


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. Literals are percent-decoded; a segment that is a variable is None."""

    text: str
    segments: tuple[str | None, ...]
    verb: str
    variables: tuple[Variable, ...]


class TemplateError(ValueError):
    """What is wrong with a template, and at which column (from 1)."""

    def __init__(self, why: str, column: int) -> None:
        super().__init__(why)
        self.why = why
        self.column = column


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: It is not one, or has what this server does not serve.
    """
    return _Parser(text).template()


def decode_segment(text: str) -> str:
    """A percent-decoded segment of a path. Bytes that are not UTF-8 become lone surrogates."""
    return unquote(text, errors="surrogateescape") if "%" in text else text


class _Parser:
    """One method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.segments: list[str | None] = []
        self.variables: list[Variable] = []

    def template(self) -> Template:
        self.expect("/")
        self.segment()
        while self.take("/"):
            self.segment()
        verb = self.literal("a verb") if self.take(":") else ""
        if self.at < len(self.text):
            raise self.error(f"unexpected {self.text[self.at]!r}")
        return Template(self.text, tuple(self.segments), verb, tuple(self.variables))

    def segment(self) -> None:
        if self.text.startswith("*", self.at):
            raise self.error("wildcards are not supported")
        if self.text.startswith("{", self.at):
            self.variable()
        else:
            self.segments.append(self.literal("a segment"))

    def variable(self) -> None:
        self.expect("{")
        column = self.at + 1
        names = [self.token(_IDENT, "a field name")]
        while self.take("."):
            names.append(self.token(_IDENT, "a field name"))
        path = ".".join(names)
        if any(variable.path == path for variable in self.variables):
            raise TemplateError(f"{path} is a variable twice", column)
        if self.text.startswith("=", self.at):
            raise self.error("variables with a pattern are not supported")
        self.expect("}")
        self.variables.append(Variable(path, column, len(self.segments)))
        self.segments.append(None)

    def literal(self, what: str) -> str:
        return decode_segment(self.token(_LITERAL, what))

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
