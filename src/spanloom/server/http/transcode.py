"""From HTTP to methods and back: URLs and bodies to request messages, response messages to JSON.

Everything is resolved against the descriptors when the transcoder is made: an annotation that
cannot work stops the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import DecodeError, Message

from spanloom.codec import json_codec
from spanloom.errors import (
    Code,
    Reason,
    SpanloomError,
    Violation,
    invalid,
    malformed_message,
    unsupported_encoding,
)
from spanloom.server.http import json_form
from spanloom.server.http.router import (
    Binding,
    Router,
    annotation_error,
    bindings,
    request_fields,
)
from spanloom.server.messages import merge_request
from spanloom.server.methods import Method

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is for: the method, the binding of its path, and the path's variables."""

    method: Method
    binding: Binding
    variables: dict[str, str]


class RouteError(SpanloomError):
    """No method has the request's path (404), or only for the `allowed` HTTP methods (405)."""

    def __init__(self, http_method: str, path: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        message = f"no method is available at {http_method[:20]} {path[:200]}"
        metadata = {}
        if allowed:
            listed = ", ".join(allowed)
            message += f"; allowed: {listed}"
            metadata["allowed"] = listed
        code = Code.UNIMPLEMENTED if allowed else Code.NOT_FOUND
        super().__init__(code, Reason.ROUTE_NOT_FOUND, message, metadata=metadata)


class Transcoder:
    """The methods as REST calls.

    Raises:
        AnnotationError: A rule cannot be served, or a message has a type that has no JSON here.
    """

    def __init__(self, methods: Iterable[Method]) -> None:
        self._methods: dict[str, Method] = {}
        all_bindings: list[Binding] = []
        for method in methods:
            self._methods[method.descriptor.full_name] = method
            found = bindings(method.descriptor)
            for binding in found:
                _check_types(binding)
            all_bindings += found
        self._router = Router(all_bindings)

    def route(self, http_method: str, raw_path: str) -> Route | None:
        """The route of a request; None if no method has its path and HTTP method."""
        match = self._router.match(http_method, raw_path)
        if match is None:
            return None
        method = self._methods[match.binding.method.full_name]
        return Route(method, match.binding, match.variables)

    def allowed(self, raw_path: str) -> list[str]:
        """The HTTP methods that the path has, sorted; empty for an unknown path."""
        found = self._router.allowed(raw_path)
        return sorted([*found, "HEAD"]) if "GET" in found else found

    def read(
        self, route: Route, query: str, body: bytes, content_type: str = JSON
    ) -> tuple[Any, list[str]]:
        """The request, and the names of what the client sent that it has no field for.

        Args:
            content_type: JSON or PROTOBUF. A PROTOBUF body is the message that a JSON body would be
                the JSON of.

        Raises:
            SpanloomError: INVALID_ARGUMENT, which names each bad field; MALFORMED_BODY if the body
                cannot be read at all; REQUEST_TOO_LARGE if it has too many values.
        """
        binding = route.binding
        if content_type == PROTOBUF:
            message, ignored = self.read(route, query, b"")
            _merge(message, binding.body, body)
            return message, ignored
        json_form.check_values(body)
        if body and (read_json := json_form.READ_JSON.get(binding.method.input_type.full_name)):
            return read_json(body), []
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
            fields, ignored = request_fields(binding, route.variables, pairs)
            request, unknown = json_form.parse(
                body, route.method.request_class, body=binding.body, extra=fields
            )
        except json_codec.JsonError as error:
            raise _refusal(error, binding) from None
        _refuse_unknown(binding, json_form.refused_names(route.method, [*unknown, *ignored]))
        return request, [*(_in_body(binding, name) for name in unknown), *ignored]

    def refusal(self, route: Route, error: SpanloomError) -> SpanloomError:
        """The error with the paths of the REST body: if that is one field, they begin inside it."""
        if route.binding.body in ("", "*") or not any(v.field for v in error.violations):
            return error
        renamed = [
            Violation(_in_body(route.binding, v.field), v.description) for v in error.violations
        ]
        if error.code is Code.INVALID_ARGUMENT:  # the message repeats the fields
            return invalid(renamed, error.reason)
        return SpanloomError(
            error.code,
            error.reason,
            error.message,
            violations=renamed,
            metadata=error.metadata,
            retry_after=error.retry_after,
        )

    def write(self, route: Route, message: Message, content_type: str = JSON) -> tuple[bytes, str]:
        """The response's body, JSON or PROTOBUF, and its type.

        A google.api.HttpBody that is the whole body has a type of its own.
        """
        part = (
            getattr(message, route.binding.response_body)
            if route.binding.response_body
            else message
        )
        if isinstance(part, HttpBody):
            return part.data, part.content_type
        if content_type == PROTOBUF and isinstance(part, Message):
            return part.SerializeToString(), PROTOBUF
        if write_json := json_form.WRITE_JSON.get(message.DESCRIPTOR.full_name):
            return write_json(message), JSON
        return json_codec.to_json(message, route.binding.response_body), JSON


def _check_types(binding: Binding) -> None:
    request, response = binding.method.input_type, binding.method.output_type
    try:
        if request.full_name not in json_form.READ_JSON:
            json_codec.check_supported(request)
        if binding.response_body:
            body = response.fields_by_name[binding.response_body].message_type
            if body is not None and body.full_name == HttpBody.DESCRIPTOR.full_name:
                return
        if response.full_name not in json_form.WRITE_JSON:
            json_codec.check_supported(response)
    except json_codec.UnsupportedTypeError as error:
        raise annotation_error(binding.method, str(error)) from None


def _merge(message: Message, field: str, data: bytes) -> None:
    """Read `data` into the message, or into the field of it that is the body."""
    part = message if field in ("", "*") else getattr(message, field)
    if not isinstance(part, Message):
        raise unsupported_encoding(
            f"this path accepts only JSON: the field {field} is not a message"
        )
    try:
        merge_request(part, data)
    except DecodeError:
        raise malformed_message(part.DESCRIPTOR.full_name) from None


def _refuse_unknown(binding: Binding, names: Sequence[str]) -> None:
    if names:
        request = binding.method.input_type
        raise json_form.unknown_fields(request, names, lambda name: _in_body(binding, name))


def _in_body(binding: Binding, path: str) -> str:
    if binding.body in ("", "*"):
        return path
    return path.removeprefix(f"{_json_name(binding)}.")


def _json_name(binding: Binding) -> str:
    """The JSON name of the field that is the body; "" if the body is the whole request."""
    if binding.body in ("", "*"):
        return ""
    name: str = binding.method.input_type.fields_by_name[binding.body].json_name
    return name


def _refusal(error: json_codec.JsonError, binding: Binding) -> SpanloomError:
    whole = _json_name(binding)
    violations = [
        Violation("" if field == whole else field, description)
        for field, description in error.violations
    ]
    return json_form.refusal(violations)
