"""Which names are those of credentials, in values of JSON and in texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from spanloom.redaction import cut_json
from spanloom.redaction.credentials import is_credential, may_have_credentials
from spanloom.redaction.documents import redacted, redacted_text
from spanloom.redaction.messages import redact_message
from spanloom.redaction.rules import MARK, Compiled
from spanloom.v1 import span_pb2
from tests.redaction.corpus import fill_value

RULES = Compiled()
SECRET = "zq9-Geheim-42"
NAMES = (
    *("api_key", "apikey", "x-api-key", "X-API-Key", "OPENAI_API_KEY", "openaiApiKey", "API Key"),
    *("authorization", "Proxy-Authorization", "http.request.header.authorization"),
    *("access_token", "refreshToken", "client_secret", "clientSecret", "password", "DB_PASSWORD"),
    *("passwd", "private_key", "secret", "cookie", "Set-Cookie", "aws_secret_access_key"),
    *("credentials", "My API Key", "http.request.header.authorization.0", "oauth2_token"),
)
OTHERS = (
    *("max_tokens", "prompt_tokens", "input_token_count", "token", "tokens", "next_page_token"),
    *("gen_ai.usage.input_tokens", "author", "secretary", "keyboard", "key", "monkey", "name"),
    *("password_reset", "cookies_enabled", "valid_token", "secret_name", "api_key_id", "eos_token"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_credentials(name: str) -> None:
    assert is_credential(name)
    assert redacted(RULES, {"a": [{name: SECRET}]}) == {"a": [{name: MARK}]}
    assert redacted(RULES, {name: {"deep": [1, 2]}}) == {name: MARK}
    assert redacted(RULES, {name: 12345}) == {name: MARK}
    text = json.dumps({"a": 1.5, name: SECRET, "b": "ü"}, ensure_ascii=False)
    assert redacted_text(RULES, text) == text.replace(SECRET, MARK)
    assert redacted(RULES, {"headers": [{"name": name, "value": SECRET}]}) == {
        "headers": [{"name": name, "value": MARK}]
    }
    assert redacted(RULES, {"headers": [["accept", "*"], [name, SECRET]]}) == {
        "headers": [["accept", "*"], [name, MARK]]
    }


@pytest.mark.parametrize("name", OTHERS)
def test_other_names(name: str) -> None:
    assert not is_credential(name)
    value = {name: "12", "list": [{"key": name, "value": 3}]}
    assert redacted(RULES, value) is value


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password: a password reset is needed, and the secret is out.",
        '{"question": "what is my password?", "max_tokens": 12}',
        '{"password": true, "secret": null, "api_key": "", "cookie": "[REDACTED]"}',
        '{"properties": {"password": {"type": "string"}, "api_key": {"$ref": "#/a"}}}',
        "{'properties': {'password': {'type': 'string'}}} and more",
        '{"required": ["password", "name"]}',
        '{"credentials": [], "secrets": {}} {"secrets": { }}',
        'client = OpenAI(api_key=os.environ["OPENAI_API_KEY"])',
        'headers["Authorization"] = f"Bearer {key}"; Authorization: Bearer $TOKEN',
        "https://a.b/?page_token=12&max_tokens=3",
        "[" * 3000 + '"password"',
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redacted_text(RULES, text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # cut, with prose around, printed by Python, inside of texts of texts
        ('{"a": 1, "api_key": "s\\"x", "b": {"c"', '{"a": 1, "api_key": "[REDACTED]", "b": {"c"'),
        ('{"a": "b", "api_key": "sk-12', '{"a": "b", "api_key": "[REDACTED]'),
        ('call({"password": "x", "n": 1})!', 'call({"password": "[REDACTED]", "n": 1})!'),
        ("{'api_key': 'x', 'n': None}", "{'api_key': '[REDACTED]', 'n': None}"),
        ('go {"secret": {"a": "}"}, "n": 2} ', 'go {"secret": [REDACTED], "n": 2} '),
        ('x {"password": 1234, "n": 2', 'x {"password": [REDACTED], "n": 2'),
        (r'x {"a": "{\"api_key\": \"s\\\"x\"}"} y', r'x {"a": "{\"api_key\": \"[REDACTED]\"}"} y'),
        (r'x {"a": "{\"api_key\": \"cut', r'x {"a": "{\"api_key\": \"[REDACTED]'),
        ('x {"name": "Cookie", "value": "a=b"}', 'x {"name": "Cookie", "value": "[REDACTED]"}'),
        ('x ["Cookie", "value"]: 1', 'x ["Cookie", "value"]: 1'),
        ("https://a.b/?a=1&api_key=s-k%20&b=2#c", "https://a.b/?a=1&api_key=[REDACTED]&b=2#c"),
        ("curl -H 'Authorization: Bearer s-k.1234'", "curl -H 'Authorization: Bearer [REDACTED]'"),
        ("authorization=basic dTpwYXNz done", "authorization=basic [REDACTED] done"),
    ],
)
def test_texts_that_are_not_json(before: str, after: str) -> None:
    assert redacted_text(RULES, before) == after
    assert redacted_text(RULES, after) == after


def test_json_inside_of_json_and_escaped_names() -> None:
    inner = json.dumps({"arguments": json.dumps({"api_key": SECRET, "n": 1})})
    outer = json.dumps({"calls": [inner]})
    changed = redacted_text(RULES, outer)
    assert SECRET not in changed
    [call] = json.loads(changed)["calls"]
    assert json.loads(json.loads(call)["arguments"]) == {"api_key": MARK, "n": 1}
    escaped = '{"\\u0061pi\\u005fkey": "%s", "\\u0070assword":"x"}'.replace("%s", SECRET)
    assert json.loads(redacted_text(RULES, escaped)) == {"api_key": MARK, "password": MARK}
    quoted = '{"a": "{\\u0022api_key\\u0022:\\u0022%s\\u0022}"}'.replace("%s", SECRET)
    assert SECRET not in redacted_text(RULES, quoted)


def test_long_runs_take_linear_time() -> None:
    for text in ("\\" * 200_000, '"' * 200_000, '"password":' * 20_000, '{"password":[' * 20_000):
        cut_json.redacted(text)
    # Each of them describes a value, and is read again for the next one.
    described = '"password":{' * 20_000 + '"type":"string"'
    for text in (f"x {described}", f"x {described}{'}' * 20_000}"):
        assert MARK in cut_json.redacted(text)
    few = 'x {"password": {"type": "object", "properties": {"secret": {"type": "string"}}}}'
    assert cut_json.redacted(few) == few


def trees() -> st.SearchStrategy[Any]:
    names = st.sampled_from(NAMES + OTHERS) | st.text(max_size=6)
    leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.just(SECRET)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(names, inner, max_size=3)
            | st.fixed_dictionaries({"name": names, "value": inner})
            | st.dictionaries(names, inner, max_size=2).map(json.dumps)
        ),
        max_leaves=12,
    )


@given(st.dictionaries(st.text(max_size=5), trees(), max_size=3))
def test_what_changes_is_seen_in_the_bytes_and_is_redacted_once(document: dict[str, Any]) -> None:
    once = redacted(RULES, document)
    assert redacted(RULES, once) is once or redacted(RULES, once) == once
    if once != document:
        assert may_have_credentials(json.dumps(document).encode())
        assert may_have_credentials(json.dumps(document, ensure_ascii=False).encode())
    try:
        message = struct_pb2.Struct()
        message.update(document)
        data = message.SerializeToString()
    except (ValueError, UnicodeEncodeError):  # no message can hold it
        return
    redact_message(RULES, message)
    changed = message.SerializeToString(deterministic=True)
    expected = struct_pb2.Struct()
    expected.update(once)
    assert changed == expected.SerializeToString(deterministic=True)
    if once != document:
        assert may_have_credentials(data)


def filled_trees() -> st.SearchStrategy[Any]:
    names = st.sampled_from(NAMES + OTHERS)
    leaves = st.integers(1, 9) | st.text(max_size=8) | st.just(SECRET)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(names, inner, min_size=1, max_size=3)
            | st.fixed_dictionaries({"name": names, "value": inner})
            | st.lists(st.tuples(names, inner).map(list), min_size=1, max_size=2)
            | st.dictionaries(names, inner, max_size=2).map(json.dumps)
        ),
        max_leaves=10,
    )


@given(filled_trees(), st.sampled_from([AnyValue, span_pb2.AttributeValue]))
def test_values_of_every_type_are_redacted_as_json_is(value: Any, kind: type[Any]) -> None:
    message, expected = kind(), kind()
    fill_value(message, value)
    fill_value(expected, redacted(RULES, value))
    data = message.SerializeToString()
    redact_message(RULES, message)
    assert message == expected
    if message.SerializeToString() != data:
        # As it is in a request, where it is the value of an attribute.
        assert may_have_credentials(
            KeyValue(key="a", value=AnyValue(bytes_value=data)).SerializeToString()
        )
