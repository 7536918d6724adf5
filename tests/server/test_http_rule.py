"""google.api.http rules: what stops the start, and which binding and fields a request has."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import quote

import pytest
from google.api import annotations_pb2
from google.api.http_pb2 import CustomHttpPattern
from google.api.http_pb2 import HttpRule as Rule
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.codec.json_codec import JsonError, parse
from spanloom.server.http.path_template import TemplateError, parse_template
from spanloom.server.http.router import (
    AnnotationError,
    Binding,
    Match,
    Router,
    bindings,
    request_fields,
)
from tests.server.codec_messages import Every, method


def bind(*rules: Rule) -> list[Binding]:
    return [binding for rule in rules for binding in bindings(method(rule))]


def matched(router: Router, http_method: str, path: str) -> Match:
    match = router.match(http_method, path)
    assert match is not None
    return match


def test_a_method_without_annotation_has_no_bindings() -> None:
    assert bindings(method(None)) == []


@pytest.mark.parametrize("verb", ["get", "put", "post", "delete", "patch"])
def test_each_pattern_is_its_http_method(verb: str) -> None:
    [binding] = bind(Rule(**{verb: "/v1/things/{a_string}"}))
    assert binding.http_method == verb.upper()
    assert binding.template == "/v1/things/{a_string}"
    assert binding.variables == ("a_string",)
    assert (binding.body, binding.response_body) == ("", "")


def test_additional_bindings_follow_the_main_one() -> None:
    extra = [Rule(post="/v1/events", body="child"), Rule(put="/e", body="*", response_body="child")]
    found = bind(Rule(post="/events", body="*", additional_bindings=extra))
    assert [(b.http_method, b.template, b.body, b.response_body) for b in found] == [
        ("POST", "/events", "*", ""),
        ("POST", "/v1/events", "child", ""),
        ("PUT", "/e", "*", "child"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "/v1",
        "/v1/{a_string}",
        "/v1/{child.more.child.name}",
        "/v1/things:batchGet",
        "/v1/a%20b/{a_string}:x",
        "/a.b-c_d~e/$x",
        "/v1/{wkt_timestamp}/{color}/{a_int64}",
    ],
)
def test_what_the_grammar_allows_is_accepted(text: str) -> None:
    [binding] = bind(Rule(get=text))
    assert binding.template == text


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("", 1, "expected '/'"),
        ("v1", 1, "expected '/'"),
        ("/", 2, "expected a segment"),
        ("/v1/", 5, "expected a segment"),
        ("/v1//x", 5, "expected a segment"),
        ("/v1/{a_string", 14, "expected '}'"),
        ("/v1/{}", 6, "expected a field name"),
        ("/v1/{a_string.}", 15, "expected a field name"),
        ("/v1/{a_string=}", 14, "variables with a pattern are not supported"),
        ("/v1/{a_string=*}", 14, "variables with a pattern are not supported"),
        ("/v1/a}b", 6, "unexpected '}'"),
        ("/v1/a b", 6, "unexpected ' '"),
        ("/v1/a?x=1", 6, "unexpected '?'"),
        ("/v1/a*", 6, "unexpected '*'"),
        ("/v1/a:b/c", 8, "unexpected '/'"),
        ("/v1/a:", 7, "expected a verb"),
        ("/v1/%zz", 5, "expected a segment"),
        ("/v1/**/a", 5, "wildcards are not supported"),
        ("/v1/*", 5, "wildcards are not supported"),
        ("/{a_string}/{a_string}", 14, "a_string is a variable twice"),
        ("/v1/{nope}", 6, "codec_test.Every has no field 'nope'"),
        ("/v1/{aString}", 6, "codec_test.Every has no field 'aString'"),
        ("/v1/{child.nope}", 12, "codec_test.Child has no field 'nope'"),
        ("/v1/{a_string.x}", 15, "a field inside a field that is no message"),
        ("/v1/{wkt_timestamp.seconds}", 20, "a field inside a field that is no message"),
        ("/v1/{repeated_string}", 6, "repeated_string is repeated or a map"),
        ("/v1/{children.name}", 6, "children is repeated or a map"),
        ("/v1/{string_by_string}", 6, "string_by_string is repeated or a map"),
        ("/v1/{child}", 6, "child is a message"),
        ("/v1/{child.more}", 6, "child.more is a message"),
        ("/v1/{wkt_struct}", 6, "wkt_struct is a message"),
        ("/v1/{wkt_value}", 6, "wkt_value is a message"),
    ],
)
def test_a_bad_template_is_refused_with_file_rpc_and_column(
    text: str, column: int, why: str
) -> None:
    bad = method(Rule(get=text))
    with pytest.raises(AnnotationError) as caught:
        bindings(bad)
    start = f"{bad.containing_service.file.name}: rpc {bad.full_name}: {text!r}, column {column}: "
    assert str(caught.value).startswith(start + why)


NESTED = Rule(get="/v2", additional_bindings=[Rule(get="/v3")])
BAD_RULES = {
    "empty": (Rule(), "the rule names no HTTP method"),
    "only a body": (Rule(body="*"), "the rule names no HTTP method"),
    "a custom method": (
        Rule(custom=CustomHttpPattern(kind="HEAD", path="/v1")),
        "custom HTTP methods are not supported",
    ),
    "body of GET": (Rule(get="/v1", body="*"), "a GET request has no body"),
    "body of DELETE": (Rule(delete="/v1", body="child"), "a DELETE request has no body"),
    "unknown body": (
        Rule(post="/v1", body="nope"),
        "body: codec_test.Every has no field 'nope'",
    ),
    "body inside a field": (
        Rule(post="/v1", body="child.name"),
        "body: codec_test.Every has no field 'child.name'",
    ),
    "body in the path": (
        Rule(post="/v1/{a_string}", body="a_string"),
        "a_string is both the body and in the path '/v1/{a_string}'",
    ),
    "unknown response body": (
        Rule(get="/v1", response_body="nope"),
        "response_body: codec_test.Every has no field 'nope'",
    ),
    "empty additional binding": (
        Rule(get="/v1", additional_bindings=[Rule(get="/v2"), Rule(body="*")]),
        "the rule names no HTTP method",
    ),
    "nested additional bindings": (
        Rule(get="/v1", additional_bindings=[NESTED]),
        "additional_bindings are inside additional_bindings",
    ),
}


@pytest.mark.parametrize("case", BAD_RULES)
def test_a_bad_rule_is_refused_with_file_and_rpc(case: str) -> None:
    rule, why = BAD_RULES[case]
    bad = method(rule)
    with pytest.raises(AnnotationError) as caught:
        bindings(bad)
    assert str(caught.value) == f"{bad.containing_service.file.name}: rpc {bad.full_name}: {why}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/v1/a", "/v1/a"),
        ("/v1/{a_string}/b", "/v1/{a_int32}/b"),
        ("/v1/a:x", "/v1/a:x"),
        ("/v1/%61", "/v1/a"),
    ],
)
def test_two_bindings_of_the_same_requests_are_refused(one: str, other: str) -> None:
    first, second = bind(Rule(get=one), Rule(get=other))
    with pytest.raises(AnnotationError) as caught:
        Router([first, second])
    assert str(caught.value).startswith(f"{second.method.containing_service.file.name}: rpc ")
    assert repr(one) in str(caught.value)
    assert repr(other) in str(caught.value)
    Router(bind(Rule(get=one), Rule(post=other)))


@pytest.mark.parametrize(
    ("http_method", "path", "template", "variables"),
    [
        ("GET", "/v1/things", "/v1/things", {}),
        ("GET", "/v1/th%69ngs", "/v1/things", {}),
        ("GET", "/v1/things/7", "/v1/things/{a_string}", {"a_string": "7"}),
        ("GET", "/v1/things/mine", "/v1/things/mine", {}),
        ("PUT", "/v1/things/mine", "/v1/things/{a_string}", {"a_string": "mine"}),
        ("GET", "/v1/things/a%2Fb%20c", "/v1/things/{a_string}", {"a_string": "a/b c"}),
        ("GET", "/v1/things/a+b", "/v1/things/{a_string}", {"a_string": "a+b"}),
        ("GET", "/v1/things/%E2%82%AC", "/v1/things/{a_string}", {"a_string": "€"}),
        ("GET", "/v1/things/a:b", "/v1/things/{a_string}", {"a_string": "a:b"}),
        ("GET", "/v1/things/a:", "/v1/things/{a_string}", {"a_string": "a:"}),
        ("POST", "/v1/things/a:run", "/v1/things/{a_string}:run", {"a_string": "a"}),
        ("POST", "/v1/things/a%3Arun", "/v1/things/{a_string}", {"a_string": "a:run"}),
        ("POST", "/v1/things/a:b:run", "/v1/things/{a_string}:run", {"a_string": "a:b"}),
        ("POST", "/v1/things:run", "/v1/things:run", {}),
        ("GET", "/v2/7/parts/8", "/v2/{child.name}/parts/{a_int32}", None),
        ("GET", "/v2/things/parts/8", "/v2/things/{a_string}/8", {"a_string": "parts"}),
    ],
)
def test_a_request_finds_the_most_specific_binding(
    http_method: str, path: str, template: str, variables: dict[str, str] | None
) -> None:
    router = Router(
        bind(
            Rule(get="/v1/things"),
            Rule(get="/v1/things/{a_string}"),
            Rule(put="/v1/things/{a_string}"),
            Rule(post="/v1/things/{a_string}"),
            Rule(post="/v1/things/{a_string}:run", body="*"),
            Rule(post="/v1/things:run", body="*"),
            Rule(get="/v1/things/mine"),
            Rule(get="/v2/{child.name}/parts/{a_int32}"),
            Rule(get="/v2/things/{a_string}/8"),
        )
    )
    match = matched(router, http_method, path)
    assert match.binding.template == template
    if variables is None:
        variables = {"child.name": "7", "a_int32": "8"}
    assert match.variables == variables


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/things/", "/v1/things/1/2", "v1/things", "/V1/things", "/v1//1"]
)
def test_an_unknown_path_matches_nothing(path: str) -> None:
    router = Router(bind(Rule(get="/v1/things"), Rule(get="/v1/things/{a_string}")))
    assert router.match("GET", path) is None
    assert router.allowed(path) == []


def test_allowed_lists_the_http_methods_of_a_path() -> None:
    router = Router(bind(Rule(get="/v1/{a_string}"), Rule(put="/v1/x"), Rule(post="/v2")))
    assert router.allowed("/v1/x") == ["GET", "PUT"]
    assert router.allowed("/v1/y") == ["GET"]
    assert router.match("PUT", "/v1/y") is None


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_any_text_survives_a_path_variable(value: str) -> None:
    router = Router(ONE_SEGMENT)
    match = matched(router, "GET", "/v1/" + quote(value, safe=""))
    assert match.variables == {"a_string": value}


ONE_SEGMENT = bind(Rule(get="/v1/{a_string}"))
SEGMENTS = ["a", "b", "{}"]


@st.composite
def templates(draw: st.DrawFn) -> str:
    """A template; its variables are named by their place, as `texts` must differ by no name."""
    segments = draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3))
    names = ("a_string", "a_int32", "child.name")
    named = [s.replace("{}", f"{{{names[n]}}}") for n, s in enumerate(segments)]
    return "/" + "/".join(named) + draw(st.sampled_from(["", "", ":v"]))


def _by_definition(texts: list[str], path: str) -> str | None:
    """The most specific template, found by matching every one as a regular expression."""

    def pattern(text: str) -> str:
        return re.sub(r"\{[^}]*\}", "[^/]+", text)

    def rank(text: str) -> tuple[object, ...]:
        path, _, verb = text.partition(":")
        return (not verb, *(segment.startswith("{") for segment in path[1:].split("/")))

    fitting = [text for text in texts if re.fullmatch(pattern(text), path)]
    return min(fitting, key=rank, default=None)


@settings(max_examples=150)
@given(
    st.lists(templates(), min_size=1, max_size=6, unique=True),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5),
    st.sampled_from(["", ":v"]),
)
def test_the_router_finds_what_matching_every_template_finds(
    texts: list[str], segments: list[str], verb: str
) -> None:
    path = "/" + "/".join(segments) + verb
    [any_binding] = ONE_SEGMENT
    router = Router(
        Binding("GET", text, any_binding.method, "", "", parse_template(text)) for text in texts
    )
    match = router.match("GET", path)
    assert (match and match.binding.template) == _by_definition(texts, path)


@given(st.text(alphabet="/{}*=:.a%2F~ ", max_size=12))
def test_any_template_is_parsed_or_refused_at_a_column_in_it(text: str) -> None:
    column, indexes, places = 1, [], []
    try:
        template = parse_template(text)
    except TemplateError as error:
        column = error.column
    else:
        indexes = [variable.index for variable in template.variables]
        places = [n for n, segment in enumerate(template.segments) if segment is None]
    assert 1 <= column <= len(text) + 1
    assert indexes == places


def query(rule: Rule, path: str, *pairs: tuple[str, str]) -> tuple[Any, list[str]]:
    """The message and the ignored parameters of a GET or POST request that has the query."""
    http_method = (rule.WhichOneof("pattern") or "").upper()
    match = matched(Router(bind(rule)), http_method, path)
    fields, ignored = request_fields(match.binding, match.variables, pairs)
    return parse(b"", Every, body=rule.body, extra=fields).message, ignored


def test_query_parameters_are_read_by_the_types_of_their_fields() -> None:
    message, ignored = query(
        Rule(get="/v1/{a_string}"),
        "/v1/x",
        ("aInt64", "-9"),
        ("a_double", "1e3"),
        ("aBool", "true"),
        ("color", "COLOR_RED"),
        ("optionalColor", "2"),
        ("wktTimestamp", "2024-05-06T07:08:09Z"),
        ("wktDuration", "1.5s"),
        ("wktFieldmask", "a,bC"),
        ("chosenvalue", "x"),
        ("child.item_count", "3"),
        ("child.more.snake_named", "s"),
    )
    assert message == Every(
        a_string="x",
        a_int64=-9,
        a_double=1000,
        a_bool=True,
        color="COLOR_RED",
        optional_color="COLOR_GREEN",
        wkt_timestamp={"seconds": 1714979289},
        wkt_duration={"seconds": 1, "nanos": 500000000},
        wkt_fieldmask={"paths": ["a", "b_c"]},
        child={"item_count": 3, "more": {"snake_named": "s"}},
    )
    assert ignored == ["chosenvalue"]


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False)])
def test_a_bool_in_the_query_is_also_a_digit(text: str, value: bool) -> None:
    message, _ = query(Rule(get="/v1"), "/v1", ("optionalColor", "1"), ("aBool", text))
    assert message.a_bool is value


@pytest.mark.parametrize("name", ["repeatedInt32", "repeated_int32", "repeatedInt32[]"])
def test_a_repeated_field_takes_its_parameter_many_times(name: str) -> None:
    message, _ = query(Rule(get="/v1"), "/v1", (name, "1"), ("a_string", ""), (name, "2"))
    assert list(message.repeated_int32) == [1, 2]


def test_parameters_that_are_no_field_are_reported_and_are_no_error() -> None:
    names = [
        "nope",
        "child.nope",
        "aString[]",
        "stringByString.x",
        "children.name",
        "aString.x",
        "a b\n",
    ]
    message, ignored = query(Rule(get="/v1"), "/v1", *((name, "1") for name in [*names, "nope"]))
    assert message == Every()
    assert ignored == [*names[:-1], "a b\\n"]


def test_the_path_and_the_body_keep_their_fields_from_the_query() -> None:
    pairs = [("a_string", "query"), ("child.name", "query"), ("aInt32", "1")]
    message, ignored = query(Rule(post="/v1/{a_string}", body="child"), "/v1/path", *pairs)
    assert message == Every(a_string="path", a_int32=1)
    assert ignored == ["a_string", "child.name"]
    message, ignored = query(Rule(post="/v1/{a_string}", body="*"), "/v1/path", *pairs)
    assert message == Every(a_string="path")
    assert ignored == ["a_string", "child.name", "aInt32"]


@pytest.mark.parametrize(
    ("pairs", "path"),
    [
        ([("aInt32", "x")], "aInt32"),
        ([("child.item_count", "1.5")], "child.itemCount"),
        ([("repeatedInt32[]", "1"), ("repeatedInt32[]", "y")], "repeatedInt32[1]"),
        ([("aBool", "yes")], "aBool"),
        ([("color", "PINK")], "color"),
        ([("wkt_timestamp", "soon")], "wktTimestamp"),
        ([("aInt32", "1"), ("a_int32", "1")], "aInt32"),
        ([("child", "{}"), ("child.name", "x")], "child.name"),
        ([("child.name", "x"), ("child", "{}")], "child"),
    ],
)
def test_a_bad_parameter_is_named(pairs: list[tuple[str, str]], path: str) -> None:
    with pytest.raises(JsonError) as caught:
        query(Rule(get="/v1"), "/v1", *pairs)
    assert [violation[0] for violation in caught.value.violations] == [path]


def test_bytes_that_are_not_utf8_in_the_path_name_the_variable() -> None:
    with pytest.raises(JsonError) as caught:
        query(Rule(get="/v1/{child.name}"), "/v1/%ff")
    assert caught.value.violations[0][0] == "child.name"


def test_the_path_wins_over_the_body() -> None:
    rule = Rule(put="/v1/{child.name}/{wkt_timestamp}", body="*")
    match = matched(Router(bind(rule)), "PUT", "/v1/path/2024-05-06T00:00:00Z")
    fields, _ = request_fields(match.binding, match.variables, [])
    body = b'{"child": {"name": "body", "itemCount": 2}, "wktTimestamp": "2020-01-01T00:00:00.5Z"}'
    message = parse(body, Every, extra=fields).message
    assert message == Every(
        child={"name": "path", "item_count": 2}, wkt_timestamp={"seconds": 1714953600}
    )


def test_ignored_parameters_are_capped() -> None:
    pairs = itertools.islice(((f"x{n}", "1") for n in itertools.count()), 1000)
    _, ignored = query(Rule(get="/v1"), "/v1", *pairs)
    assert len(ignored) == 32


def test_method_descriptors_hold_the_annotation() -> None:
    described: MethodDescriptor = method(Rule(get="/v1"))
    assert described.GetOptions().Extensions[annotations_pb2.http].get == "/v1"
