"""The JSON codec: as google.protobuf.json_format both ways, and what it reads beyond that."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.codec import struct_reader, struct_writer
from spanloom.codec.json_codec import (
    MAX_LEVELS,
    MOST_IGNORED,
    MOST_VIOLATIONS,
    JsonError,
    Parsed,
    UnsupportedTypeError,
    check_supported,
    parse,
    to_json,
    to_object,
)
from tests.server.codec_messages import (
    OTHER_SCALARS,
    Batch,
    Child,
    Every,
    message_with,
)

Type = FieldDescriptor
FIELDS: dict[str, Any] = dict(Every.DESCRIPTOR.fields_by_name)

# --- Messages with anything in them

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | finite | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
snake_names = st.from_regex(r"[a-z]{1,4}(_[a-z]{1,3}){0,2}", fullmatch=True)
instants = st.builds(
    lambda seconds, nanos: {"seconds": seconds, "nanos": nanos},
    st.integers(-62135596800, 253402300799),
    st.sampled_from([0, 1, 500_000_000, 999_999_999, 123_456_000]) | st.integers(0, 10**9 - 1),
)
durations = st.builds(
    lambda seconds, nanos, sign: {"seconds": sign * seconds, "nanos": sign * nanos},
    st.integers(0, 315576000000),
    st.integers(0, 10**9 - 1),
    st.sampled_from([1, -1]),
)
INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Type.TYPE_DOUBLE: st.floats(allow_nan=False),
    Type.TYPE_BOOL: st.booleans(),
    Type.TYPE_STRING: texts,
    Type.TYPE_ENUM: st.sampled_from([0, 1, 2, -7, 5, 2**31 - 1]),
    Type.TYPE_INT32: INT32,
    Type.TYPE_INT64: INT64,
    Type.TYPE_UINT32: st.integers(0, 2**32 - 1),
}


def parsed_by_json_format(document: Any, message: Any) -> Any:
    return json_format.ParseDict(document, message)


def struct(fields: dict[str, Any]) -> Any:
    return parsed_by_json_format(fields, struct_pb2.Struct())


children = st.builds(Child, name=texts, item_count=INT32, labels=st.lists(texts, max_size=2))
structs = st.dictionaries(texts, json_values, max_size=3).map(struct)
values = json_values.map(lambda value: parsed_by_json_format(value, struct_pb2.Value()))
MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    "Duration": durations,
    "Empty": st.just({}),
    "FieldMask": st.builds(lambda paths: {"paths": paths}, st.lists(snake_names, max_size=3)),
    "Struct": structs,
    "Timestamp": instants,
    "Value": values,
    "Child": children,
}


def element(field: Any) -> st.SearchStrategy[Any]:
    """Values of a field, or of one element of it, as a message's constructor takes them."""
    if field.message_type is None:
        return SCALARS[field.type]
    if field.message_type.name in MESSAGES:
        return MESSAGES[field.message_type.name]
    if field.message_type.name == "Every":
        return everything
    raise AssertionError(field.full_name)


def whole(field: Any) -> st.SearchStrategy[Any]:
    if not field.is_repeated:
        return element(field)
    if field.message_type is None or not field.message_type.GetOptions().map_entry:
        return st.lists(element(field), max_size=3)
    entry = field.message_type.fields_by_name
    return st.dictionaries(element(entry["key"]), element(entry["value"]), max_size=3)


def _every() -> st.SearchStrategy[Any]:
    names = st.lists(st.sampled_from(sorted(FIELDS)), max_size=5, unique=True)
    fields = names.flatmap(lambda ns: st.fixed_dictionaries({n: whole(FIELDS[n]) for n in ns}))
    return fields.map(lambda given: Every(**given))


everything: st.SearchStrategy[Any] = st.deferred(_every)
quick = settings(max_examples=100)


def read(document: Any, **options: Any) -> Any:
    """The `Every` in a JSON document, of which nothing may be ignored."""
    parsed: Parsed[Any] = parse(json.dumps(document).encode(), Every, **options)
    assert parsed.ignored == []
    return parsed.message


def violations(data: bytes | object, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(JsonError) as caught:
        parse(data, Every, **options)
    for path, why in caught.value.violations:
        (path + why).encode()
        assert why
    return caught.value.violations


def bad_paths(document: Any, **options: Any) -> list[str]:
    return [path for path, _ in violations(json.dumps(document).encode(), **options)]


# --- The same as json_format


@quick
@given(everything)
def test_printing_says_what_json_format_says(message: Any) -> None:
    assert json.loads(to_json(message)) == json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True
    )


@quick
@given(everything, st.booleans(), st.booleans())
def test_what_json_format_prints_is_read_back(
    message: Any, defaults: bool, proto_names: bool
) -> None:
    text = json_format.MessageToJson(
        message,
        always_print_fields_with_no_presence=defaults,
        preserving_proto_field_name=proto_names,
    )
    assert parse(text.encode(), Every).message == message


@quick
@given(everything)
def test_what_is_printed_is_read_back(message: Any) -> None:
    data = to_json(message)
    assert parse(data, Every) == (message, [])
    assert json_format.Parse(data, Every()) == message


@quick
@given(st.dictionaries(texts, json_values, max_size=4))
def test_a_struct_is_written_and_read_as_json_format_does(fields: dict[str, Any]) -> None:
    message = struct_pb2.Struct.FromString(struct_writer.struct_wire(fields))
    assert message == struct(fields)
    for _ in range(3):  # what came before is read in another way
        assert struct_reader.struct_object(message) == fields == to_object(message)
    value = struct_pb2.Value.FromString(struct_writer.value_wire(fields))
    assert struct_reader.value_object(value) == fields


@quick
@given(st.dictionaries(texts, json_values, max_size=4))
def test_no_two_readings_share_an_object_or_list(fields: dict[str, Any]) -> None:
    sent = {"first": fields, "second": [fields, fields], "third": {"a": [{"b": [fields]}]}}
    message = struct(sent)
    for _ in range(4):
        found = struct_reader.struct_object(message)
        assert found == sent
        for container in list(containers(found)):
            container.clear()  # whoever got it may change it


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31 - 1, -1, -(2**31)])
def test_every_number_of_the_open_null_enum_is_null(number: int) -> None:
    value = struct_pb2.Value()
    value.null_value = number  # type: ignore[assignment]
    assert value.WhichOneof("kind") == "null_value"
    held = struct_pb2.Struct(fields={"a": value})
    assert struct_reader.value_object(value) is None
    assert struct_reader.struct_object(held) == {"a": None}
    assert to_json(held) == b'{"a":null}'


# One JSON value after another in every field. What json_format takes only because Python's own
# conversions do, and the mapping does not allow, is refused.
OFFERED: list[Any] = [
    *(None, True, False, 0, 1, -1, -0.0, 1.0, 1.5, 1e3, 1e39, 1e308, 3.5e38),
    *(2**31, 2**32, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64),
    *("", " ", "1", " 1", "1 ", "1.0", "1.5", "1e3", "1e400", "0x1", "1_0", "+1", "01", ".5"),
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "true", "True", "abc", "é", "\0"),
    *("a_b", "aB", "aB,cD", "AQ==", "AQ", "_-8=", "+/8=", "A", "===="),
    *("COLOR_RED", "COLOR_NOPE", "NULL_VALUE"),
    *("2024-05-06T07:08:09Z", "2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09+02:30"),
    *("2024-05-06T07:08:09.1234567891Z", "2024-05-06T07:08:09", "2024-05-06 07:08:09Z"),
    *("2024-05-06t07:08:09z", "2024-13-06T07:08:09Z", "2024-05-06", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-01:00"),
    *("1s", "1.5s", "-1.5s", "-0.5s", "1.0000000001s", "315576000001s", "s", ".5s"),
    *([], [1], ["a"], [None], [[]], [{}], [{"name": "x"}]),
    *({}, {"a": 1}, {"a": None}, {"1": "x"}, {"true": "x"}, {"1": None}, {"nope": 1}),
    *({"a": {"b": [1, None, "x"]}}, {"name": "x"}, {"name": 1}, {"k": {"name": "x"}}),
    {"value": 1},
]
ONLY_PYTHON: dict[str, list[Any]] = {
    "number": ["1_0"],
    "float": ["1_0", True, False, "1e400", "inf"],
    "enum": ["1_0", True, False, 1.5, 2**32, 2**53 + 1, -(2**63), "1.0", "1e3"],
    "message": ["", [], [[]]],
    "duration": ["1.0000000001s"],
}


def kind_of(field: Any) -> str:
    if field.message_type:
        special = {"Duration": "duration"}
        return special.get(field.message_type.name, "message")
    if field.enum_type:
        return "enum"
    return {Type.TYPE_DOUBLE: "float", Type.TYPE_STRING: "text"}.get(field.type, "number")


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN is equal to itself."""
    return one == other or (
        None not in (one, other)
        and one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    )


def attempt(error: type[Exception], run: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What the call gives, or None where it raises the error."""
    try:
        return run(*args, **options)
    except error:
        return None


def parsed(text: bytes) -> Any:
    return parse(text, Every).message


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_what_json_format_reads_is_read_the_same_value_by_value(name: str) -> None:
    field = FIELDS[name]
    python_only = ONLY_PYTHON.get(kind_of(field), [])
    agreed = 0
    for value in OFFERED:
        if any(value == odd and type(value) is type(odd) for odd in python_only):
            continue
        text = json.dumps({field.json_name: value}).encode()
        theirs = attempt(json_format.ParseError, json_format.Parse, text, Every())
        if theirs is not None:
            assert same(attempt(JsonError, parsed, text), theirs), value
            agreed += 1
    assert agreed


@pytest.mark.parametrize("kind", [*OTHER_SCALARS, "Any", "ListValue", "BoolValue", "NullValue"])
def test_types_that_the_codec_lacks_are_refused_at_start_up(kind: str) -> None:
    prefix = {"NullValue": "enum .google.protobuf."}.get(kind, ".google.protobuf.")
    name = kind if kind in OTHER_SCALARS else prefix + kind
    for made in (message_with(name), message_with(name, map_key="string")):
        with pytest.raises(UnsupportedTypeError, match=r"\.Inner\.odd: .*supported"):
            check_supported(made.DESCRIPTOR)


def test_maps_with_keys_of_true_and_false_are_refused_at_start_up() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"\.Inner\.odd: the keys of JSON maps"):
        check_supported(message_with("string", map_key="bool").DESCRIPTOR)


@pytest.mark.parametrize("key", ["int32", "int64", "uint32"])
def test_maps_with_integers_as_keys_are_as_json_format_has_them(key: str) -> None:
    made = message_with("string", map_key=key)
    check_supported(made.DESCRIPTOR)
    [field] = [f for f in made.DESCRIPTOR.fields if f.message_type is not None]
    text = json.dumps({field.json_name: {"odd": {"7": "a", "0": ""}}}).encode()
    message = parse(text, made).message
    assert message == json_format.Parse(text, made())
    assert json.loads(to_json(message)) == json.loads(text)


def test_all_that_these_tests_use_is_supported() -> None:
    for made in (Every, Child, Batch):
        check_supported(made.DESCRIPTOR)


# --- Printing


def test_fields_without_presence_are_printed_and_unset_ones_with_presence_are_not() -> None:
    assert to_json(Child()) == b'{"name":"","itemCount":0,"labels":[]}'
    printed = to_object(Every())
    assert printed == json_format.MessageToDict(Every(), always_print_fields_with_no_presence=True)
    assert printed["aInt64"] == "0"
    assert (printed["int32ByString"], printed["children"], printed["$odd"]) == ({}, [], "")
    assert not any(name.startswith(("optional", "wkt", "chosen")) for name in printed)


def test_integral_doubles_are_printed_as_integers_up_to_2_53() -> None:
    message = Every(repeated_double=[5, 1.5, 2.0**53 - 1, 2.0**53, 1e300, -0.0, 0])
    printed = to_object(message)["repeatedDouble"]
    assert str(printed) == "[5, 1.5, 9007199254740991, 9007199254740992.0, 1e+300, -0.0, 0]"
    assert to_json(struct({"a": 5, "b": [0.0, -0.0]}).fields["a"]) == b"5"
    assert to_json(struct({"b": [0.0, -0.0, 3.0]})) == b'{"b":[0,-0.0,3]}'


def test_what_json_has_no_number_for_is_a_text() -> None:
    nan, inf = math.nan, math.inf
    assert to_object(Every(repeated_double=[nan, inf, -inf]))["repeatedDouble"] == [
        "NaN",
        "Infinity",
        "-Infinity",
    ]
    assert to_object(struct_pb2.Value(number_value=nan)) == "NaN"


def test_one_field_is_printed_alone() -> None:
    message = Every(
        a_int64=7, repeated_string=["é"], string_by_string={"3": "x"}, child={"name": "n"}
    )
    message.wkt_timestamp.seconds = 1
    assert to_json(message, "a_int64") == b'"7"'
    assert to_json(message, "repeated_string") == '["é"]'.encode()
    assert to_json(message, "string_by_string") == b'{"3":"x"}'
    assert to_json(message, "child") == b'{"name":"n","itemCount":0,"labels":[]}'
    assert to_json(message, "chosen_child") == to_json(Child())
    assert to_json(message, "wkt_timestamp") == b'"1970-01-01T00:00:01Z"'


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (Every(wkt_timestamp={"seconds": 253402300800}), "wktTimestamp"),
        (Every(many_timestamp=[{}, {"nanos": -1}]), "manyTimestamp[1]"),
        (
            Every(child={"more": {"wkt_duration": {"seconds": 1, "nanos": -1}}}),
            "child.more.wktDuration",
        ),
        (Every(wkt_fieldmask={"paths": ["notSnake"]}), "wktFieldmask"),
        (
            Every(child_by_name={"k": {"more": {"wkt_timestamp": {"nanos": -1}}}}),
            "childByName.k.more.wktTimestamp",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "message",
)
def test_a_message_without_json_is_an_error_that_names_the_field(message: Any, path: str) -> None:
    with pytest.raises(JsonError) as caught:
        to_json(message)
    assert [where for where, _ in caught.value.violations] == [path]


@pytest.mark.parametrize("levels", [200, 2000])
def test_a_message_nested_too_deeply_to_print_is_an_error(levels: int) -> None:
    message = inner = Child()
    for _ in range(levels):
        inner = inner.more.child
        inner.SetInParent()
    with pytest.raises(JsonError):
        to_json(message)


# --- The lenient reading


def test_unknown_fields_are_reported_once_without_indexes() -> None:
    document = {
        "foo": 1,
        "children": [{"bar": 1}, {"bar": 2, "more": {"zig": None}}],
        "childByName": {"a": {"bar": 3}},
        "wktStruct": {"any": 1},
        "é\n": 1,
        "chosenChild": '{"bar": 1}',
    }
    parsed: Parsed[Any] = parse(json.dumps(document).encode(), Every)
    assert parsed.ignored == [
        "foo",
        "children.bar",
        "children.more.zig",
        "childByName.bar",
        "\\u00e9\\n",
        "chosenChild.bar",
    ]
    assert len(parsed.message.children) == 2


def test_what_was_ignored_is_capped() -> None:
    parsed: Parsed[Any] = parse({f"x{n}" * 500: n for n in range(1000)}, Every)
    assert len(parsed.ignored) == MOST_IGNORED
    assert max(map(len, parsed.ignored)) == 100


@pytest.mark.parametrize("name", ["snake_named", "snakeNamed"])
def test_fields_are_read_by_json_name_proto_name_and_camel_case(name: str) -> None:
    assert read({name: "x"}) == Every(snake_named="x")


def test_a_field_under_two_names_is_read_once_or_refused() -> None:
    both = {"repeated_int32": [1], "repeatedInt32": [1], "aInt32": None, "a_int32": 2}
    assert read(both) == Every(repeated_int32=[1], a_int32=2)
    assert bad_paths({"a_int32": 1, "aInt32": 2, "odd_named": "x", "$odd": "y"}) == [
        "aInt32",
        "$odd",
    ]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_null_leaves_any_field_unset(name: str) -> None:
    expected = Every()
    if name in ("wkt_value", "chosen_value"):
        getattr(expected, name).null_value = 0
    assert read({FIELDS[name].json_name: None}) == expected


def test_nulls_are_dropped_from_lists_and_maps_but_kept_in_values() -> None:
    document = {
        "repeatedString": [None, "a", None],
        "children": [None, {"name": None}],
        "manyTimestamp": [None],
        "stringByString": {"1": None, "2": "b"},
        "childByName": {"a": None},
        "wktStruct": {"a": None, "b": [None]},
        "manyValue": [None, 1],
        "valueByName": {"a": None},
    }
    message = read(document)
    assert list(message.repeated_string) == ["a"]
    assert list(message.children) == [Child()]
    assert not message.many_timestamp
    assert dict(message.string_by_string) == {"2": "b"}
    assert not message.child_by_name
    assert to_object(message.wkt_struct) == {"a": None, "b": [None]}
    assert to_object(message, "many_value") == [None, 1]
    assert to_object(message, "value_by_name") == {"a": None}


@pytest.mark.parametrize(
    ("value", "seconds", "nanos"),
    [
        ("2024-05-06T07:08:09Z", 1714979289, 0),
        ("2024-05-06T07:08:09", 1714979289, 0),
        ("2024-05-06T07:08:09.123456", 1714979289, 123456000),
        ("2024-05-06 07:08:09.5", 1714979289, 500000000),
        ("2024-05-06t07:08:09z", 1714979289, 0),
        ("2024-05-06 07:08:09 UTC", 1714979289, 0),
        ("2024-05-06T09:08:09+02:00", 1714979289, 0),
        ("2024-05-06T09:08:09+0200", 1714979289, 0),
        ("2024-05-06T09:08:09+02", 1714979289, 0),
        ("2024-05-06T01:38:09-05:30", 1714979289, 0),
        ("2024-05-06T07:08", 1714979280, 0),
        ("2024-05-06", 1714953600, 0),
        (" 2024-05-06 ", 1714953600, 0),
        ("2024-05-06T07:08:09.1234567899999Z", 1714979289, 123456789),
        ("2024-05-06T07:08:09,25Z", 1714979289, 250000000),
        (1714979289, 1714979289, 0),
        (1714979289.301, 1714979289, 301000000),
        (1714979289301, 1714979289, 301000000),
        (1714979289301.0, 1714979289, 301000000),
        (1714979289301.25, 1714979289, 301250000),
        (1714979289301456, 1714979289, 301456000),
        (1714979289301456789, 1714979289, 301456789),
        ("1714979289.301456789", 1714979289, 301456789),
        ("1714979289301", 1714979289, 301000000),
        (" 1714979289 ", 1714979289, 0),
        (0, 0, 0),
        (-1.5, -2, 500000000),
    ],
    ids=repr,
)
def test_times_are_read_in_every_common_form(value: Any, seconds: int, nanos: int) -> None:
    message = read({"wktTimestamp": value})
    assert message == Every(wkt_timestamp={"seconds": seconds, "nanos": nanos})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("a_string", 5, "5"),
        ("a_string", 1.5, "1.5"),
        ("a_string", True, "true"),
        ("a_string", 2**63, "9223372036854775808"),
        ("a_int32", " 7 ", 7),
        ("a_int32", "7.0", 7),
        ("a_int32", 7.0, 7),
        ("a_int32", "1e2", 100),
        ("a_int64", "-9223372036854775808", -(2**63)),
        ("a_int64", "9007199254740993.0", 2**53 + 1),
        ("a_double", " 1.5e3\n", 1500.0),
        ("a_double", "-Infinity", -math.inf),
        ("a_bool", "true", True),
        ("a_bool", " False ", False),
        ("color", "1", 1),
        ("color", 99, 99),
        ("color", "COLOR_NEGATIVE", -7),
    ],
    ids=repr,
)
def test_scalars_are_read_from_what_clients_send(name: str, value: Any, expected: Any) -> None:
    assert getattr(read({name: value}), name) == expected


def test_a_text_that_holds_an_object_stands_for_a_message() -> None:
    document = {
        "child": '{"name": "x", "item_count": "3"}',
        "wktStruct": '{"a": [1]}',
        "children": ['{"name": "y"}'],
        "childByName": '{"k": {"name": "z"}}',
    }
    assert read(document) == Every(
        child={"name": "x", "item_count": 3},
        wkt_struct=struct({"a": [1]}),
        children=[{"name": "y"}],
        child_by_name={"k": Child(name="z")},
    )
    assert read({"wktValue": '{"a": 1}'}).wkt_value.string_value == '{"a": 1}'
    assert bad_paths({"child": '{"item_count": "q"}', "wktStruct": "[1]"}) == [
        "child.itemCount",
        "wktStruct",
    ]


def test_a_document_may_be_the_value_of_one_field() -> None:
    assert parse(b'{"name": "x"}', Every, body="child").message == Every(child={"name": "x"})
    assert parse(b'["a", "b"]', Every, body="repeated_string").message.repeated_string == ["a", "b"]
    assert parse(b'{"1": 2}', Every, body="int32_by_string").message == Every(
        int32_by_string={"1": 2}
    )
    assert parse(b"5", Every, body="wkt_value").message.wkt_value.number_value == 5
    assert parse(b'"5"', Every, body="a_int32").message == Every(a_int32=5)
    assert parse(b"ignored", Every, body="").message == Every()
    with pytest.raises(JsonError) as caught:
        parse(b'{"itemCount": "x", "q": 1}', Every, body="child")
    assert caught.value.violations[0][0] == "child.itemCount"


@pytest.mark.parametrize("data", [b"", b"  \n", b"{}", b"null", b"\xef\xbb\xbf{}"])
def test_an_empty_document_has_no_fields(data: bytes) -> None:
    assert parse(data, Every, body="child" if data == b"null" else "*") == (Every(), [])


def test_fields_of_the_url_win_over_the_document() -> None:
    document = {
        "aInt32": 5,
        "child": {"name": "body", "itemCount": 3},
        "chosenText": "body",
        "wktTimestamp": "2024-05-06T07:08:09.5Z",
    }
    extra = {
        "a_int32": "0",
        "child": {"name": "url"},
        "chosenNumber": "4",
        "wktTimestamp": "2024-05-06T00:00:00Z",
        "aBool": "true",
    }
    assert parse(json.dumps(document).encode(), Every, extra=extra).message == Every(
        child={"name": "url", "item_count": 3},
        chosen_number=4,
        wkt_timestamp={"seconds": 1714953600},
        a_bool=True,
    )


def test_a_name_that_stands_twice_is_read_as_the_last() -> None:
    assert parse(b'{"aInt32": 1, "aInt32": 2}', Every).message == Every(a_int32=2)


def test_integers_in_a_struct_lose_digits_past_2_53() -> None:
    assert to_object(read({"wktStruct": {"a": 2**53 + 1}}).wkt_struct) == {"a": 2.0**53}


def test_the_documented_batch_is_read_and_printed() -> None:
    event: dict[str, Any] = {
        "event_type": "model",
        "event_id": "7f22137a",
        "children_ids": [],
        "config": {"model": "m", "hyperparameters": {"temperature": 0, "stop": []}},
        "error": None,
        "start_time": 1714978764301.0,
        "duration": 999.8056,
        "feedback": {},
    }
    parsed: Parsed[Any] = parse({"events": [event], "is_single_session": True}, Batch)
    assert parsed.ignored == []
    printed = to_object(parsed.message)
    assert printed["is_single_session"] is True
    defaults = {"event_name": "", "source": "", "project": ""}
    expected = {**defaults, **event}
    del expected["error"]
    assert printed["events"] == [expected]
    assert b'"start_time":1714978764301,' in to_json(parsed.message)


# --- Bad input

BAD: dict[str, tuple[Any, list[str]]] = {
    "a list for a text": ({"aString": []}, ["aString"]),
    "an object for a text": ({"aString": {}}, ["aString"]),
    "a fraction for an integer": ({"aInt32": 1.5}, ["aInt32"]),
    "a word for an integer": ({"aInt64": "x"}, ["aInt64"]),
    "a bool for an integer": ({"aInt32": True}, ["aInt32"]),
    "past int32": ({"aInt32": 2**31}, ["aInt32"]),
    "below int32": ({"repeatedInt32": [0, -(2**31) - 1]}, ["repeatedInt32[1]"]),
    "below uint32": ({"aUint32": -1}, ["aUint32"]),
    "past int64": ({"aInt64": "9223372036854775808"}, ["aInt64"]),
    "an endless integer": ({"aInt64": "1e9999"}, ["aInt64"]),
    "past double": ({"aDouble": "1e999"}, ["aDouble"]),
    "a bool for a double": ({"aDouble": False}, ["aDouble"]),
    "a number for a bool": ({"aBool": 1}, ["aBool"]),
    "a word for a bool": ({"aBool": "yes"}, ["aBool"]),
    "an unknown enum word": ({"color": "PINK"}, ["color"]),
    "an enum past int32": ({"color": 2**31}, ["color"]),
    "an enum list": ({"color": [1]}, ["color"]),
    "a bad time": ({"wktTimestamp": "soon"}, ["wktTimestamp"]),
    "month 13": ({"manyTimestamp": ["2024-13-01"]}, ["manyTimestamp[0]"]),
    "a bad offset": ({"wktTimestamp": "2024-01-01T00:00:00+24:00"}, ["wktTimestamp"]),
    "a year past 9999": ({"wktTimestamp": "9999-12-31T23:59:59-01:00"}, ["wktTimestamp"]),
    "a huge time": ({"wktTimestamp": 1e300}, ["wktTimestamp"]),
    "a huge time text": ({"wktTimestamp": "1e999"}, ["wktTimestamp"]),
    "a bool for a time": ({"wktTimestamp": True}, ["wktTimestamp"]),
    "a bad duration": ({"wktDuration": "1"}, ["wktDuration"]),
    "a number for a duration": ({"wktDuration": 1}, ["wktDuration"]),
    "a list for a message": ({"child": []}, ["child"]),
    "a word for a message": ({"child": "x"}, ["child"]),
    "an object for a list": ({"children": {"name": "x"}}, ["children"]),
    "a number in a message list": ({"children": [{}, 1]}, ["children[1]"]),
    "inside messages": (
        {"children": [{"more": {"child": {"item_count": "x"}}}]},
        ["children[0].more.child.itemCount"],
    ),
    "a list for a map": ({"stringByString": []}, ["stringByString"]),
    "a bad number in a map": ({"int32ByString": {"x": "a"}}, ["int32ByString.x"]),
    "a bad map value": ({"childByName": {"k": {"name": []}}}, ["childByName.k.name"]),
    "a list for a Struct": ({"wktStruct": []}, ["wktStruct"]),
    "two of a oneof": ({"chosenText": "a", "chosenNumber": 1}, ["chosenNumber"]),
    "a lone surrogate": ({"aString": "\ud800"}, ["aString"]),
    "a lone surrogate in a Struct": ({"wktStruct": {"a": ["x", "\udfff"]}}, ["wktStruct.a[1]"]),
    "a lone surrogate in a Struct's key": ({"wktStruct": {"\ud800": 1}}, ["wktStruct.\\ud800"]),
    "a lone surrogate in a map's key": (
        {"stringByString": {"\ud800": "x"}},
        ["stringByString.\\ud800"],
    ),
    "NaN": ({"aDouble": math.nan, "optionalDouble": math.inf}, ["aDouble", "optionalDouble"]),
    "NaN in a Struct": ({"wktStruct": {"a": math.nan}}, ["wktStruct.a"]),
    "NaN for a text": (
        {"aString": math.nan, "wktTimestamp": math.nan},
        ["aString", "wktTimestamp"],
    ),
    "an integer beyond a double": (
        {
            "wktStruct": {"a": 10**400},
            "wktValue": -(10**309),
            "aDouble": 10**310,
            "aInt64": 10**500,
        },
        ["wktStruct.a", "wktValue", "aDouble", "aInt64"],
    ),
    "many at once": (
        {"aInt32": "x", "children": [{"itemCount": "y"}, {"name": []}], "wktStruct": 5},
        ["aInt32", "children[0].itemCount", "children[1].name", "wktStruct"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_its_fields(case: str) -> None:
    document, paths = BAD[case]
    assert bad_paths(document) == paths


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"aInt32": 1,}', "is not valid JSON (line 1, column 14)"),
        (b'{"a":\n [1 2]}', "is not valid JSON (line 2, column 5)"),
        (b"{", "is not valid JSON (line 1, column 2)"),
        (b"{} x", "is not valid JSON (line 1, column 4)"),
        (b'{"a": "\x01"}', "is not valid JSON (line 1, column 8)"),
        (b"[]", "must be an object, not an array"),
        (b"5", "must be an object, not 5"),
        (b"true", "must be an object, not true"),
        (b"null", "must be an object, not null"),
        (b"\xff", "is not valid JSON"),
    ],
)
def test_a_document_that_is_no_object_is_refused_as_a_whole(data: bytes, why: str) -> None:
    [(path, description)] = violations(data)
    assert path == ""
    assert description.startswith(why)


def test_bytes_that_are_not_utf8_name_the_field() -> None:
    assert [path for path, _ in violations(b'{"aString": "a\xffb"}')] == ["aString"]
    assert [path for path, _ in violations(b'{"wktStruct": {"k": "\xc3"}}')] == ["wktStruct.k"]


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("levels", [60, 900, 1500, 10_000])
@pytest.mark.parametrize("name", ["wktStruct", "wktValue", "unknown"])
def test_deep_nesting_names_the_field(name: str, levels: int, open_: str, close: str) -> None:
    start, end = ('{"a":', "}") if name == "wktStruct" else ("", "")
    data = f'{{"aInt32": 1, "{name}": {start}{open_ * levels}1{close * levels}{end}}}'.encode()
    if name == "unknown" and levels < 1000:
        assert parse(data, Every).ignored == ["unknown"]
        return
    [(path, why)] = violations(data)
    assert path.startswith(name)
    assert "nested too deeply" in why


def test_a_message_in_itself_too_often_names_the_field() -> None:
    document: dict[str, Any] = {}
    for _ in range(60):
        document = {"child": {"more": document}}
    [path] = bad_paths(document)
    assert path.startswith("child.more.child.more.")


def test_what_is_read_can_be_read_by_a_runtime_with_the_default_limit_of_100_levels() -> None:
    def nested(levels: int, around: Callable[[Any], Any]) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = around(value)
        return value

    for around, cost in ((lambda value: {"a": value}, 3), (lambda value: [value], 2)):
        fits = (MAX_LEVELS - 1) // cost
        message = read({"wktValue": nested(fits, around)})
        again = Every.FromString(message.SerializeToString())
        assert again == message
        assert json_format.Parse(to_json(message), Every()) == message
        assert bad_paths({"wktValue": nested(fits + 1, around)})[0].startswith("wktValue")


def test_violations_are_capped() -> None:
    found = violations({"children": [{"itemCount": "x"}] * 5000})
    assert len(found) == MOST_VIOLATIONS
    assert found[-1][0] == "children[99].itemCount"
    assert (
        len(violations({"wktStruct": {f"k{n}": math.nan for n in range(500)}})) == MOST_VIOLATIONS
    )


def test_long_names_and_values_are_cut_in_errors() -> None:
    [(path, why)] = violations({"wktStruct": {"k" * 100_000: math.nan}})
    assert len(path) < 1000
    [(_, why)] = violations({"aInt32": "x" * 100_000})
    assert len(why) < 1000


def test_values_that_are_not_json_are_refused_not_guessed() -> None:
    assert violations({"wktStruct": {"a": object(), "b": (1,)}}) == [
        ("wktStruct.a", "is not a JSON value: object"),
        ("wktStruct.b", "is not a JSON value: tuple"),
    ]


any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from([offer for offer in OFFERED if isinstance(offer, (str, int, float))]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([f.json_name for f in FIELDS.values()]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(quick, max_examples=200)
@given(any_json)
def test_any_json_is_read_or_refused_with_a_path(document: Any) -> None:
    data = json.dumps(document).encode()
    try:
        message = parse(data, Every).message
    except JsonError as error:
        found = error.violations
        assert found
        assert all(why for _, why in found)
        json.dumps(found).encode()
    else:
        assert Every.FromString(message.SerializeToString()).ByteSize() == message.ByteSize()
        to_json(message)


@settings(quick, max_examples=200)
@given(
    st.binary(max_size=20) | st.text(alphabet='{}[]",:\\ud80 1aNn-.e', max_size=30).map(str.encode)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    message = attempt(JsonError, parsed, data)
    assert message is None or not message.ByteSize() or b"{" in data
