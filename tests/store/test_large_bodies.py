"""Bodies of megabytes: the same rows in steps, and read back in steps."""

from __future__ import annotations

import pytest

from spanloom.codec.large_json import LARGE
from spanloom.errors import SpanloomError
from spanloom.model import Io
from spanloom.store.sql import rows


def test_a_body_in_steps_is_the_same_text() -> None:
    body = {
        "a": [1, 2.5, None, {"ü": "😀\\u00e9"}],
        'k"': {"x": 1},
        "": {},
    }
    assert rows.json_text(body, in_steps=True) == rows.json_text(body)
    assert rows.json_text({}, in_steps=True) == "{}"


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: 2}])
def test_what_cannot_be_stored_is_refused_in_steps_too(value: object) -> None:
    for in_steps in (False, True):
        with pytest.raises(SpanloomError) as refused:
            rows.json_text({"a": 1, "b": value}, "spans[3]", in_steps=in_steps)
        assert refused.value.violations[0].field == "spans[3].b"


def test_a_large_body_is_read_back() -> None:
    inputs = {"text": "ä\n" * LARGE, "list": [1, {"b": 1e300}], "none": None}
    text = rows.json_text({"inputs": inputs, "sent": {"adapter": ""}}, in_steps=True)
    assert len(text) > LARGE
    row = [
        "t",
        "s",
        "e",
        "n",
        "",
        "",
        "chain",
        "",
        1,
        None,
        None,
        "OK",
        "",
        "",
        "",
        None,
        None,
        None,
    ]
    assert rows.to_span([*row, text]).io == Io(inputs=inputs)
