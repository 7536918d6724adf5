"""The contract as OpenAPI 3.1, made of the descriptors and the comments of the proto files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata, resources
from typing import Any, Final

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import (
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from spanloom.server.http.json_schema import PACKAGE, Object, Schemas, error_schema, is_message
from spanloom.server.http.rest import NDJSON
from spanloom.server.http.router import Binding, bindings
from spanloom.server.http.transcode import JSON, PROTOBUF
from spanloom.server.methods import Method

_REASON: Final = re.compile(r"ERROR_REASON_([A-Z_]+)")
_HEADERS: Final = {
    "RequestId": {
        "description": "The id of the call in the server's log; the caller's own if it sent one.",
        "schema": {"type": "string"},
    },
    "IgnoredFields": {
        "description": "What the request has and the API does not, if there is anything.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which the call may be sent again, if it may.",
        "schema": {"type": "integer"},
    },
}
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "An API key as the password; the user name is not read.",
    },
    "wandb": {"type": "apiKey", "in": "header", "name": "wandb-api-key"},
}
_PROJECT: Final = {
    "name": "x-spanloom-project",
    "in": "header",
    "description": "The project to work in, for an instance key. For another key, its own project.",
    "schema": {"type": "string"},
}
_DESCRIPTION: Final = (
    "Every method is also served over gRPC, and over Connect and gRPC-Web at"
    " `/<service>/<method>` of the HTTP port. Bodies may be compressed with gzip or deflate. With"
    f" the Content-Type `{PROTOBUF}` a request is the protobuf message that the JSON stands for,"
    " and so is its answer."
)


# In a path, the messages in which a parameter's field is.
_PARENTS = re.compile(r"\{(?:\w+\.)+")


def document(methods: Sequence[Method]) -> Object:
    """The OpenAPI document of all methods that have REST paths."""
    comments = _comments()
    schemas = Schemas(comments)
    paths: dict[str, Object] = {}
    services: dict[str, ServiceDescriptor] = {}
    for method in methods:
        for number, binding in enumerate(bindings(method.descriptor)):
            service = method.descriptor.containing_service
            services[service.full_name] = service
            operation = _operation(method, binding, number, schemas, comments)
            # Paths that differ only in the names of their parameters are one path to OpenAPI.
            path = _PARENTS.sub("{", binding.template)
            paths.setdefault(path, {})[binding.http_method.lower()] = operation
    error = {
        "description": "Any error: google.rpc.Status, and fields that vendors' SDKs read.",
        "headers": _header_refs("RequestId", "RetryAfter"),
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Spanloom",
            "version": metadata.version("spanloom"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": _tag(service), "description": comments.get(name, "")}
            for name, service in services.items()
        ],
        "paths": paths,
        "components": {
            "schemas": {**schemas.found, "Error": error_schema(comments)},
            "parameters": {"Project": _PROJECT},
            "headers": _HEADERS,
            "responses": {"Error": error},
            "securitySchemes": _SECURITY,
        },
        "security": [{name: []} for name in _SECURITY],
    }


def descriptor_set(methods: Sequence[Method]) -> bytes:
    """A google.protobuf.FileDescriptorSet of all methods, with all that their files import."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        found.setdefault(file.name, file)

    for method in methods:
        add(method.descriptor.containing_service.file)
    image = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(image.file.add())
    return image.SerializeToString()


@cache
def _comments() -> dict[str, str]:
    """The comments of the proto files by full name."""
    text = resources.files(__package__).joinpath("comments.json").read_text()
    found: dict[str, str] = json.loads(text)
    return found


@cache
def _examples() -> dict[str, Object]:
    """The calls that the pages show, by method: a `request` and perhaps its `response`."""
    text = resources.files(__package__).joinpath("examples.json").read_text()
    found: dict[str, Object] = json.loads(text)
    return found


def _content(method: Method, part: str, schema: Object) -> Object:
    """The JSON body of a call's request or response, with its example if there is one."""
    example = _examples().get(method.full_name, {}).get(part)
    return {JSON: {"schema": schema} | ({} if example is None else {"example": example})}


def _operation(
    method: Method, binding: Binding, number: int, schemas: Schemas, comments: dict[str, str]
) -> Object:
    descriptor = method.descriptor
    comment = comments.get(descriptor.full_name, "")
    tag = _tag(descriptor.containing_service)
    name = f"{tag.replace('.', '_')}_{descriptor.name}"
    operation: Object = {
        "operationId": f"{name}_{number + 1}" if number else name,
        "tags": [tag],
        "summary": comment.partition(".\n")[0].partition(". ")[0].replace("\n", " ").rstrip("."),
        "description": comment,
        "x-grpc-method": method.full_name,
        "x-required-role": method.role or "any",
        "x-error-reasons": list(dict.fromkeys(_REASON.findall(comment))),
        "parameters": [
            *(_path_parameter(descriptor, path, schemas) for path in binding.variables),
            *_query_parameters(descriptor, binding, schemas),
            {"$ref": "#/components/parameters/Project"},
        ],
    }
    if binding.body:
        operation["requestBody"] = _request_body(method, binding, schemas)
    operation["responses"] = {
        "200": _response(method, binding, schemas),
        "default": {"$ref": "#/components/responses/Error"},
    }
    return operation


def _request_body(method: Method, binding: Binding, schemas: Schemas) -> Object:
    request = method.descriptor.input_type
    if binding.body == "*":
        schema = schemas.of_message(request, without=binding.variables)
    else:
        schema = schemas.of_field(request.fields_by_name[binding.body])
    if method.takes_many:
        return {"required": True, "content": {NDJSON: _lines(schema)}}
    return {"required": True, "content": _content(method, "request", schema)}


def _response(method: Method, binding: Binding, schemas: Schemas) -> Object:
    response = method.descriptor.output_type
    headers = _header_refs("RequestId")
    content: Object
    if binding.response_body:
        field = response.fields_by_name[binding.response_body]
        schema = schemas.of_field(field)
        is_body = field.message_type is not None and _is_http_body(field.message_type.full_name)
    else:
        schema = schemas.of_message(response)
        is_body = _is_http_body(response.full_name)
    if is_body:
        content = {JSON: {}}
    elif method.gives_many:
        content = {NDJSON: _lines(schema)}
    else:
        headers |= _header_refs("IgnoredFields")
        content = _content(method, "response", schema)
    return {"description": "The call succeeded.", "headers": headers, "content": content}


def _lines(schema: Object) -> Object:
    """The media type of a stream. OpenAPI 3.1 has no schema for lines of a text."""
    text = "One JSON object a line; `x-line-schema` is that of a line."
    return {"schema": {"type": "string", "description": text}, "x-line-schema": schema}


def _path_parameter(method: MethodDescriptor, path: str, schemas: Schemas) -> Object:
    field = _field_at(method.input_type, path)
    return {
        "name": path.rpartition(".")[2],
        "in": "path",
        "required": True,
        "description": schemas.comment(field),
        "schema": schemas.of_value(field),
    }


def _query_parameters(
    method: MethodDescriptor, binding: Binding, schemas: Schemas
) -> Iterator[Object]:
    if binding.body == "*":
        return
    for field, path, is_required in _query_fields(method.input_type.fields):
        if path[0].name == binding.body or ".".join(f.name for f in path) in binding.variables:
            continue
        yield {
            "name": ".".join(step.json_name for step in path),
            "in": "query",
            "required": is_required,
            "deprecated": bool(field.GetOptions().deprecated),
            "description": schemas.comment(field),
            "schema": schemas.of_field(field, comment=False),
        }


def _query_fields(
    fields: Sequence[FieldDescriptor], above: tuple[FieldDescriptor, ...] = ()
) -> Iterator[tuple[FieldDescriptor, tuple[FieldDescriptor, ...], bool]]:
    """The fields that a query can set: no maps, and of messages what is in them."""
    for field in fields:
        path = (*above, field)
        if not is_message(field):
            yield field, path, not above and Schemas.is_required(field)
            continue
        message: Any = field.message_type
        if not field.is_repeated and message not in [step.message_type for step in above]:
            yield from _query_fields(message.fields, path)


def _tag(service: ServiceDescriptor) -> str:
    """The service's name, with that of its package if it is another project's."""
    return str(service.full_name).removeprefix(PACKAGE)


def _field_at(message: Any, path: str) -> FieldDescriptor:
    """The field at a path of proto names; `message` is a descriptor."""
    *parents, name = path.split(".")
    for parent in parents:
        message = message.fields_by_name[parent].message_type
    field: FieldDescriptor = message.fields_by_name[name]
    return field


def _is_http_body(name: str) -> bool:
    return str(HttpBody.DESCRIPTOR.full_name) == name


def _header_refs(*names: str) -> Object:
    keys = {"RequestId": "x-request-id", "IgnoredFields": "x-ignored-fields"}
    return {
        keys.get(name, "retry-after"): {"$ref": f"#/components/headers/{name}"} for name in names
    }
