"""The rules of the house over all descriptors: some for the native services, some for all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from google.api import annotations_pb2
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

from spanloom.v1 import access_pb2, error_reason_pb2
from tests.contract import first_client
from tools.api_docs import NATIVE, PACKAGE
from tools.contract import PROTO

Field = FieldDescriptorProto
BEHAVIORS = {FieldBehavior.REQUIRED, FieldBehavior.OPTIONAL, FieldBehavior.OUTPUT_ONLY}
TIMESTAMP, DURATION = ".google.protobuf.Timestamp", ".google.protobuf.Duration"
# Words of other products, which the native services do without.
FOREIGN = re.compile(r"(?i)\b(weave|wandb|wb|basalt|honeyhive|langfuse|log|slug|session)\b|\$")
BRITISH = re.compile(
    r"(?i)\w*(?:colour|behaviour|favour|neighbour|catalogue|licence|analys(?:e|ing)"
    r"|(?:organ|recogn|summar|initial|normal|real|serial|util|author|minim|maxim)is(?:e|ing))\w*"
)
ALIAS = re.compile(
    r"^(?:An alias of|The former name of|Accepted for compatibility and ignored|Always true:"
    r"|Always empty\. Present for compatibility|The same value as)"
)
# These store something new in each call that gives no ids, so a repeat is not safe.
NOT_REPEATABLE = {
    *("EventService/CreateEvent", "EventService/CreateEventBatch"),
    *("EventService/CreateModelEvent", "EventService/CreateModelEventBatch"),
    *("SessionService/StartSession", "SessionService/AddSessionTraces"),
    *(
        "TraceService/CreateTrace",
        "TraceService/CreateLog",
        "FeedbackService/BatchCreateFeedback",
        "DatapointService/CreateDatapoint",
        "RunService/CreateRun",
        "FeedbackService/CreateFeedback",
    ),
    *("ExperimentService/CreateExperiment", "DatasetService/CreateDatasetItem"),
    "PromptService/CreatePrompt",
    *("DatasetService/AddDatapoints", "DatapointService/BatchCreateDatapoints"),
    *("CatalogService/CreateTool", "CatalogService/CreateConfiguration"),
    *("CatalogService/CreateMetric", "CatalogService/CreateMetricVersion"),
    "CatalogService/CreateChart",
    "FileService/GenerateUploadUrl",
    # Its secret is in one response only.
    "KeyService/CreateKey",
    "KeyService/RotateKey",
}
# Reads that the role read is not enough for.
ADMIN_READS = {"KeyService/ListKeys", "ProjectService/GetRedaction"}
# Columns of a table that may have a million rows: plain numbers, so that JSON repeats no names.
COLUMNS = "OutlineChunk"


class Method(NamedTuple):
    service: str
    proto: MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return f"{self.service}/{self.proto.name}"

    @property
    def role(self) -> str:
        return access_pb2.Role.Name(self.proto.options.Extensions[access_pb2.required_role])

    @property
    def level(self) -> str:
        return MethodOptions.IdempotencyLevel.Name(self.proto.options.idempotency_level)

    @property
    def paths(self) -> list[str]:
        rule = self.proto.options.Extensions[annotations_pb2.http]
        found = ((b.WhichOneof("pattern"), b) for b in (rule, *rule.additional_bindings))
        return [getattr(binding, verb) for verb, binding in found if verb]


class Contract:
    """The compiled contract by name, with comments."""

    def __init__(self, image: FileDescriptorSet) -> None:
        self.files = [file for file in image.file if file.package == PACKAGE]
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.comments: dict[str, str] = {}  # by name: Message, Message.field, Service/Method
        self.methods: list[Method] = []
        for file in self.files:
            places = file.source_code_info.location
            at = {tuple(place.path): place.leading_comments for place in places}
            for n, message in enumerate(file.message_type):
                self._add(message.name, message, (4, n), at)
            for n, enum in enumerate(file.enum_type):
                self.enums[enum.name] = enum
                self.comments[enum.name] = _text(at[5, n])
            for s, service in enumerate(file.service):
                self.comments[service.name] = _text(at[6, s])
                for m, method in enumerate(service.method):
                    self.methods.append(Method(service.name, method, _text(at[6, s, 2, m])))

    def _add(
        self,
        name: str,
        message: DescriptorProto,
        path: tuple[int, ...],
        at: dict[tuple[int, ...], str],
    ) -> None:
        self.messages[name] = message
        if not message.options.map_entry:
            self.comments[name] = _text(at[path])
            for n, field in enumerate(message.field):
                self.comments[f"{name}.{field.name}"] = _text(at[*path, 2, n])
        for n, inner in enumerate(message.nested_type):
            self._add(f"{name}.{inner.name}", inner, (*path, 3, n), at)

    @property
    def native(self) -> list[Method]:
        return [method for method in self.methods if method.service in NATIVE]

    def reachable(self, *roots: str) -> Iterator[tuple[str, Field]]:
        """The fields of messages of this package, from the messages `roots` (full names) on."""
        seen: set[str] = set()
        left = [_short(root) for root in roots]
        while left:
            name = left.pop()
            if name in seen or name not in self.messages:
                continue
            seen.add(name)
            message = self.messages[name]
            left += [_short(field.type_name) for field in message.field]
            if not message.options.map_entry:
                yield from ((name, field) for field in message.field)

    def native_fields(self) -> Iterator[tuple[str, Field]]:
        types = ((m.proto.input_type, m.proto.output_type) for m in self.native)
        return self.reachable(*itertools.chain.from_iterable(types))


def _text(comment: str) -> str:
    return " ".join(comment.split())


def _short(full_name: str) -> str:
    return full_name.removeprefix(f".{PACKAGE}.")


@pytest.fixture(scope="module")
def contract(image: FileDescriptorSet) -> Contract:
    return Contract(image)


# The native services


def test_the_native_services_are_there(contract: Contract) -> None:
    assert set(NATIVE) <= {method.service for method in contract.methods}


def test_every_field_of_a_request_says_whether_it_is_required(contract: Contract) -> None:
    requests = (method.proto.input_type for method in contract.native)
    for name, field in contract.reachable(*requests):
        behaviors = field.options.Extensions[field_behavior]
        assert len(BEHAVIORS.intersection(behaviors)) == 1, f"{name}.{field.name}"
        assert not (FieldBehavior.REQUIRED in behaviors and field.proto3_optional)


def test_every_new_field_of_a_request_says_whether_it_is_required(contract: Contract) -> None:
    """In services for programs of other products: what the first contract does not have."""
    requests = (method.proto.input_type for method in contract.methods)
    new = [
        (f"{name}.{field.name}", field)
        for name, field in contract.reachable(*requests)
        if not first_client.has_field(f"{PACKAGE}.{name}.{field.name}")
    ]
    assert "CreateLogRequest.request_id" in {path for path, _ in new}
    for path, field in new:
        assert len(BEHAVIORS.intersection(field.options.Extensions[field_behavior])) == 1, path
        assert not re.search(r"\bRequired\.|Optional\.", contract.comments[path]), path


def test_requirements_are_stated_once(contract: Contract) -> None:
    for name, field in contract.native_fields():
        comment = contract.comments[f"{name}.{field.name}"]
        assert not re.search(r"\bRequired\.|Output only\.|Optional\.", comment), name


def test_json_is_canonical(contract: Contract) -> None:
    for name, field in contract.native_fields():
        camel = re.sub(r"_(.)", lambda found: found[1].upper(), field.name)
        assert field.json_name == camel, f"{name}.{field.name}"


def test_no_name_is_another_products(contract: Contract) -> None:
    for name, field in contract.native_fields():
        if name == "Span.Prompt":  # PromptService's own word
            continue
        words = re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", f"{name}.{field.name}")
        assert not FOREIGN.search(words), words
    for method in contract.native:
        assert not FOREIGN.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", method.proto.name))


def test_lists_are_paged(contract: Contract) -> None:
    lists = [m for m in contract.native if re.match(r"List|Search|Compare", m.proto.name)]
    assert len(lists) >= 8
    for method in lists:
        request = {f.name: f for f in contract.messages[_short(method.proto.input_type)].field}
        response = {f.name: f for f in contract.messages[_short(method.proto.output_type)].field}
        assert request["page_size"].type == Field.TYPE_INT32, method.name
        assert request["page_token"].type == Field.TYPE_STRING, method.name
        assert response["next_page_token"].type == Field.TYPE_STRING, method.name
        assert sum(f.label == Field.LABEL_REPEATED for f in response.values()) == 1, method.name
        assert "ERROR_REASON_INVALID_PAGE_TOKEN" in method.comment, method.name
        size = contract.comments[f"{_short(method.proto.input_type)}.page_size"]
        assert re.search(r"0 means [\d,]+\. Values above ([\d,]+) are reduced to \1\.", size), size


def test_only_paged_methods_and_streams_return_lists_of_any_length(contract: Contract) -> None:
    """Each other list of a response states its limit, or follows from the request."""
    bounded = {
        "WriteSpansResponse.warnings",  # a few for each span of the request
        "ImportSpansResponse.rejections",
        "CountTracesResponse.facets",
        "CountTracesResponse.buckets",
        "PollTraceChangesResponse.changes",
        "GetUsageResponse.points",
        "GetCallerResponse.roles",
    }
    found = set()
    for method in contract.native:
        name = _short(method.proto.output_type)
        fields = contract.messages[name].field
        paged = any(field.name == "next_page_token" for field in fields)
        if not paged and not method.proto.server_streaming:
            found |= {f"{name}.{f.name}" for f in fields if f.label == Field.LABEL_REPEATED}
    assert found == bounded


def test_times_and_durations_have_their_types(contract: Contract) -> None:
    for name, field in contract.native_fields():
        path = f"{name}.{field.name}"
        if field.type_name == TIMESTAMP:
            ends = r"(?:^|_)time(?:_from|_before)?$"
            assert re.search(ends, field.name), path
        elif name != COLUMNS:
            assert not re.search(r"_(?:time|at|ms|us|ns|seconds)$", field.name), path
        if field.type_name == DURATION:
            assert re.search(
                r"duration|_time$|time_limit|validity|overlap|_delay$", field.name
            ) or (field.name.startswith("max_")), path


def test_tokens_and_counts_have_64_bits(contract: Contract) -> None:
    exceptions = {"CountTracesRequest.bucket_count"}
    for name, field in contract.native_fields():
        path = f"{name}.{field.name}"
        counted = re.search(r"_(?:tokens|count)$", field.name)
        if counted and not field.name.startswith("dropped_") and name != COLUMNS:
            assert field.type == Field.TYPE_INT64 or path in exceptions, path


def test_closed_sets_are_enums_and_state_whether_they_grow(contract: Contract) -> None:
    used = {_short(f.type_name) for _, f in contract.native_fields() if f.type == Field.TYPE_ENUM}
    assert len(used) >= 15
    for name in used:
        comment = contract.comments[name]
        assert re.search(r"may be added|No value will be added", comment), name
    for name, field in contract.native_fields():
        if field.type == Field.TYPE_STRING:
            assert not re.search(r"^(?:status|kind|role|order|view)$", field.name) or (
                name == "ModelMessage"  # the roles of model APIs are an open set
            ), f"{name}.{field.name}"


def test_paths_are_versioned(contract: Contract) -> None:
    for method in contract.native:
        assert all(path.startswith("/v1/") for path in method.paths), method.name
        if not method.paths:
            assert method.proto.client_streaming
            assert method.proto.server_streaming
            assert "There is no REST call, because" in method.comment


def test_streams_can_be_resumed(contract: Contract) -> None:
    for method in contract.native:
        request = contract.messages[_short(method.proto.input_type)]
        response = contract.messages[_short(method.proto.output_type)]
        takes, gives = (
            any(field.name == "cursor" for field in message.field)
            for message in (request, response)
        )
        assert takes == gives, method.name
        if takes:
            assert "ERROR_REASON_EXPIRED_CURSOR" in method.comment, method.name
            assert "ERROR_REASON_INVALID_CURSOR" in method.comment, method.name
        if method.proto.server_streaming and not method.proto.client_streaming:
            assert takes, method.name
            assert "one JSON object per line" in method.comment, method.name


def test_comments_say_what_a_method_does(contract: Contract) -> None:
    for method in contract.native:
        first = method.comment.split()[0]
        assert first.endswith("s"), f"{method.name}: {first}"


def test_every_native_method_says_whether_it_may_be_repeated(contract: Contract) -> None:
    levels = {m.level for m in contract.native if m.name not in NOT_REPEATABLE}
    assert levels == {"NO_SIDE_EFFECTS", "IDEMPOTENT"}


# All services


def test_reads_have_no_side_effects_and_writes_are_not_reads(contract: Contract) -> None:
    for method in contract.methods:
        reads = method.role in ("ROLE_READ", "ROLE_UNSPECIFIED") or method.name in ADMIN_READS
        assert reads == (method.level == "NO_SIDE_EFFECTS"), method.name


def test_a_method_that_is_not_safe_to_repeat_does_not_say_so(contract: Contract) -> None:
    unknown = {m.name for m in contract.methods if m.level == "IDEMPOTENCY_UNKNOWN"}
    assert unknown == NOT_REPEATABLE


def test_every_method_but_one_requires_a_role(contract: Contract) -> None:
    open_to_all = [m.name for m in contract.methods if m.role == "ROLE_UNSPECIFIED"]
    assert open_to_all == ["QueryService/GetCaller"]


def test_what_is_an_alias_or_ignored_is_deprecated(contract: Contract) -> None:
    aliases, deprecated = set(), set()
    for name, message in contract.messages.items():
        if message.options.map_entry:
            continue
        for field in message.field:
            path = f"{name}.{field.name}"
            if ALIAS.search(contract.comments[path]):
                aliases.add(path)
            if field.options.deprecated:
                deprecated.add(path)
    assert aliases == deprecated
    assert len(aliases) == 58


def test_skipped_numbers_are_reserved(contract: Contract) -> None:
    for name, message in contract.messages.items():
        numbers = {field.number for field in message.field}
        reserved = {n for r in message.reserved_range for n in range(r.start, r.end)}
        assert numbers | reserved == set(range(1, max(numbers | {0}) + 1)) | reserved, name
    for name, enum in contract.enums.items():
        numbers = {value.number for value in enum.value}
        reserved = {n for r in enum.reserved_range for n in range(r.start, r.end + 1)}
        assert numbers | reserved == set(range(max(numbers) + 1)) | reserved, name


def test_java_has_a_name_of_its_own_for_each_field(contract: Contract) -> None:
    for name, message in contract.messages.items():  # docs/adr/0067
        fields = {field.name for field in message.field}
        lists = {f"{f.name}_count" for f in message.field if f.label == Field.LABEL_REPEATED}
        assert not lists & fields, name


def test_comments_name_reasons_that_exist(contract: Contract) -> None:
    known = set(error_reason_pb2.ErrorReason.keys())
    for method in contract.methods:
        assert known.issuperset(re.findall(r"ERROR_REASON_\w+", method.comment)), method.name


def test_clients_of_a_service_know_the_reasons(contract: Contract) -> None:
    """Reflection and generated clients have what a service file imports."""
    file = "spanloom/v1/error_reason.proto"
    assert any(file in f.dependency for f in contract.files if f.service)


def test_comments_have_at_most_100_columns() -> None:
    comments = re.findall(
        r"^ *//.*", "\n".join(f.read_text() for f in PROTO.rglob("*.proto")), re.M
    )
    assert [comment for comment in comments if len(comment) > 100] == []


def test_comments_are_american_english(contract: Contract) -> None:
    texts = dict(contract.comments) | {m.name: m.comment for m in contract.methods}
    assert [word for text in texts.values() for word in BRITISH.findall(text)] == []


def test_the_extension_number_is_one_that_nobody_else_chooses() -> None:
    number = access_pb2.required_role.number
    assert number == 345254825  # buf does not notice that an extension's number changes
    assert number > 99_999
