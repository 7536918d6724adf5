"""`google.api.http`: which HTTP request is which call. Rules are checked against their messages.

router = Router([b for method in service.methods for b in bindings(method)])
match = router.match("GET", "/v1/traces/abc")
fields, ignored = request_fields(match.binding, match.variables, query_pairs)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from google.api import annotations_pb2, http_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from spanloom.codec.json_error import describe, violation
from spanloom.codec.json_parse import MOST_IGNORED, printable
from spanloom.codec.json_shape import has_own_form, map_fields, spellings
from spanloom.errors import SetupError
from spanloom.server.http.path_template import (
    Template,
    TemplateError,
    Variable,
    decode_segment,
    parse_template,
)

# What other transcoders read in a URL, too. A JSON body has true and false only.
_BOOLS = {"1": "true", "t": "true", "T": "true", "0": "false", "f": "false", "F": "false"}
# And what they read: a JSON body may have 5.0 and 5e0.
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_INTEGER_TYPES = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
)
_WITHOUT_BODY = ("GET", "DELETE")
_STRUCTURED = ("google.protobuf.Struct", "google.protobuf.Value")


class AnnotationError(SetupError):
    """A rule that cannot be served; it stops the start.

    The text names the proto file, the RPC and, within a template, the column (from 1).
    """


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path template of an RPC.

    Attributes:
        http_method: In capitals.
        body: "" for none, "*" for all fields that are not in the path, or the name of one field.
        response_body: "" for the whole response, or the name of the field that is the HTTP body.
    """

    http_method: str
    template: str
    method: MethodDescriptor
    body: str
    response_body: str
    parsed: Template = field(repr=False)

    @property
    def variables(self) -> tuple[str, ...]:
        """The field paths of the path variables, as the template has them."""
        return tuple(variable.path for variable in self.parsed.variables)


class Match(NamedTuple):
    """A request's binding, and the decoded values of its path variables by field path."""

    binding: Binding
    variables: dict[str, str]


class Fields(NamedTuple):
    """The fields that a URL gives, as JSON; and the names of query parameters that are no field."""

    fields: dict[str, Any]
    ignored: list[str]


def rule_of(method: MethodDescriptor) -> http_pb2.HttpRule | None:
    """The rule of an RPC: its annotation, else what service_config.json has for its full name.

    The file (a google.api.Http) is for services whose proto files belong to another project and
    cannot be annotated.
    """
    options = method.GetOptions()
    if options.HasExtension(annotations_pb2.http):
        rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
        return rule
    return _configured_rules().get(method.full_name)


@cache
def _configured_rules() -> dict[str, http_pb2.HttpRule]:
    text = resources.files(__package__).joinpath("service_config.json").read_text()
    config = json_format.Parse(text, http_pb2.Http())
    return {rule.selector: rule for rule in config.rules}


def bindings(method: MethodDescriptor) -> list[Binding]:
    """The HTTP bindings of an RPC, the main one first; none if it has no rule.

    Raises:
        AnnotationError: The rule has no pattern, a custom pattern, a bad template, a variable or
            body that names no field or one that cannot be there, a body on GET or DELETE, or
            additional bindings inside additional bindings.
    """
    rule = rule_of(method)
    if rule is None:
        return []
    if any(extra.additional_bindings for extra in rule.additional_bindings):
        raise annotation_error(method, "additional_bindings are inside additional_bindings")
    return [_binding(method, each) for each in (rule, *rule.additional_bindings)]


def _binding(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Binding:
    pattern = rule.WhichOneof("pattern")
    if pattern is None:
        raise annotation_error(method, "the rule names no HTTP method")
    if pattern == "custom":
        raise annotation_error(method, "custom HTTP methods are not supported")
    http_method, text = pattern.upper(), getattr(rule, pattern)
    try:
        template = parse_template(text)
        for variable in template.variables:
            _check_variable(method.input_type, variable)
    except TemplateError as error:
        raise annotation_error(method, f"{text!r}, column {error.column}: {error.why}") from None
    _check_body(method, rule.body, http_method, template)
    if rule.response_body and rule.response_body not in method.output_type.fields_by_name:
        raise annotation_error(
            method, f"response_body: {_no_field(method.output_type, rule.response_body)}"
        )
    return Binding(http_method, text, method, rule.body, rule.response_body, template)


def _check_variable(descriptor: Descriptor, variable: Variable) -> None:
    column = variable.column
    names = variable.path.split(".")
    message: Descriptor | None = descriptor
    for name in names:
        if message is None or has_own_form(message):
            raise TemplateError("a field inside a field that is no message", column)
        leaf = message.fields_by_name.get(name)
        if leaf is None:
            raise TemplateError(_no_field(message, name), column)
        if leaf.is_repeated:
            raise TemplateError(f"{name} is repeated or a map, which a path cannot hold", column)
        message = leaf.message_type
        column += len(name) + 1
    if message is not None and (not has_own_form(message) or message.full_name in _STRUCTURED):
        raise TemplateError(
            f"{variable.path} is a message, which a path cannot hold", variable.column
        )


def _check_body(method: MethodDescriptor, body: str, http_method: str, template: Template) -> None:
    if not body:
        return
    if http_method in _WITHOUT_BODY:
        raise annotation_error(method, f"a {http_method} request has no body")
    if body != "*" and body not in method.input_type.fields_by_name:
        raise annotation_error(method, f"body: {_no_field(method.input_type, body)}")
    if any(variable.path == body for variable in template.variables):
        raise annotation_error(method, f"{body} is both the body and in the path {template.text!r}")


def _no_field(message: Descriptor, name: str) -> str:
    return f"{message.full_name} has no field {name!r}"


def annotation_error(method: MethodDescriptor, why: str) -> AnnotationError:
    """The error for a rule of this RPC."""
    return AnnotationError(f"{method.containing_service.file.name}: rpc {method.full_name}: {why}")


class _Node:
    """A place in the tree of segments.

    `next` has the nodes of literal segments by their text, and that of a variable by None; `ends`
    has the bindings whose template ends here, by verb and HTTP method.
    """

    def __init__(self) -> None:
        self.next: dict[str | None, _Node] = {}
        self.ends: dict[str, dict[str, Binding]] = {}

    def find(self, segments: list[str], verb: str, http_method: str, at: int = 0) -> Binding | None:
        """The binding for `segments[at:]`: from the left, literals before variables."""
        if at == len(segments):
            return self.ends.get(verb, {}).get(http_method)
        segment = segments[at]
        for step in (segment, None) if segment else (segment,):  # a variable is not empty
            node = self.next.get(step)
            found = node and node.find(segments, verb, http_method, at + 1)
            if found:
                return found
        return None


class Router:
    """Finds the binding of a request.

    The most specific one wins: a template with the path's verb before one without, then, from the
    left, a literal before a variable.

    Raises:
        AnnotationError: Two bindings match the very same requests.
    """

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._root = _Node()
        self._literals: dict[tuple[str, str], Binding] = {}
        self._verbs: set[str] = set()
        self._methods: set[str] = set()
        for binding in bindings:
            self._add(binding)

    def _add(self, binding: Binding) -> None:
        template = binding.parsed
        node = self._root
        for segment in template.segments:
            node = node.next.setdefault(segment, _Node())
        other = node.ends.setdefault(template.verb, {}).setdefault(binding.http_method, binding)
        if other is not binding:
            raise annotation_error(
                binding.method,
                f"{binding.http_method} {binding.template!r} matches the same requests as "
                f"{other.template!r} of {other.method.full_name}",
            )
        if not template.variables:
            self._literals[binding.http_method, template.text] = binding
        self._verbs.add(template.verb)
        self._methods.add(binding.http_method)

    def match(self, http_method: str, raw_path: str) -> Match | None:
        """The binding for a request, or None.

        Args:
            raw_path: As it was sent: percent-encoded, without the query.
        """
        literal = self._literals.get((http_method, raw_path))
        if literal:
            return Match(literal, {})
        for segments, verb in self._readings(raw_path):
            found = self._root.find(segments, verb, http_method)
            if found:
                variables = found.parsed.variables
                return Match(found, {v.path: segments[v.index] for v in variables})
        # Exporters join an endpoint and a path: `//v1/traces`, `/v1/traces/`.
        tidied = "/" + "/".join(filter(None, raw_path.split("/")))
        literal = self._literals.get((http_method, tidied))
        if literal and literal.method.full_name in _configured_rules():
            return Match(literal, {})
        return None

    def allowed(self, raw_path: str) -> list[str]:
        """The HTTP methods that the path has bindings for, sorted; empty for an unknown path."""
        return sorted(method for method in self._methods if self.match(method, raw_path))

    def _readings(self, raw_path: str) -> Iterator[tuple[list[str], str]]:
        """The path's decoded segments and verb; a verb may also be part of the last segment."""
        if not raw_path.startswith("/"):
            return
        path, _, verb = raw_path[1:].rpartition(":")
        if verb and verb in self._verbs:
            yield [decode_segment(segment) for segment in path.split("/")], verb
        yield [decode_segment(segment) for segment in raw_path[1:].split("/")], ""


def request_fields(
    binding: Binding, variables: Mapping[str, str], query: Iterable[tuple[str, str]]
) -> Fields:
    """The fields of the request that its path variables and query parameters give.

    The texts become values in `json_codec.parse`, as its `extra`. A parameter is a field path in
    JSON or proto names (`page.limit`); one of a repeated field may be given many times, also as
    `key[]`. Ignored is what names no field, a field in a map or list, one that the path or the body
    gives, and with `body: "*"` all.

    Raises:
        JsonError: A singular field is given twice, or an integer is not plain digits.
    """
    fields: dict[str, Any] = {}
    ignored: dict[str, None] = {}
    for path, value in variables.items():
        _put(fields, _proto_path(binding.method.input_type, path), value)
    for name, value in query:
        steps = _query_path(binding, name)
        if steps:
            _put(fields, steps, value)
        elif len(ignored) < MOST_IGNORED:
            ignored[printable(name)] = None
    return Fields(fields, list(ignored))


def _proto_path(message: Descriptor, path: str) -> list[FieldDescriptor]:
    steps: list[FieldDescriptor] = []
    scope: Descriptor | None = message
    for name in path.split("."):
        if scope is None:
            break
        steps.append(scope.fields_by_name[name])
        scope = steps[-1].message_type
    return steps


def _query_path(binding: Binding, name: str) -> list[FieldDescriptor]:
    """The fields on the way to the one that a query parameter sets; empty if it sets none."""
    if binding.body == "*":
        return []
    steps: list[FieldDescriptor] = []
    message: Descriptor | None = binding.method.input_type
    for part in name.removesuffix("[]").split("."):
        if message is None or (steps and (steps[-1].is_repeated or has_own_form(message))):
            return []
        known = spellings(message).get(part)
        if known is None:
            return []
        steps.append(known[0])
        message = known[0].message_type
    leaf = steps[-1]
    if map_fields(leaf) or (name.endswith("[]") and not leaf.is_repeated):
        return []
    path = ".".join(step.name for step in steps)
    return [] if binding.body == steps[0].name or path in binding.variables else steps


def _put(fields: dict[str, Any], steps: list[FieldDescriptor], value: str) -> None:
    *parents, leaf = steps
    scope: Any = fields
    for parent in parents:
        scope = scope.setdefault(parent.json_name, {}) if isinstance(scope, dict) else scope
    name = leaf.json_name
    at = ".".join(step.json_name for step in steps)
    if not isinstance(scope, dict) or (name in scope and not leaf.is_repeated):
        raise violation("is given more than once in the query string", at)
    if leaf.type in _INTEGER_TYPES and not _INTEGER.fullmatch(value):
        place = f"[{len(scope.get(name, ()))}]" if leaf.is_repeated else ""
        raise violation(f"must be an integer, not {describe(value)}", at + place)
    if leaf.type == FieldDescriptor.TYPE_BOOL:
        value = _BOOLS.get(value, value)
    if leaf.is_repeated:
        scope.setdefault(name, []).append(value)
    else:
        scope[name] = value
