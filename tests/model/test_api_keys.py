"""Keys: what opens, and until when."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import api_keys


def test_a_key_opens_until_it_expires() -> None:
    key, text = api_keys.new_key("p", "read", name="n", expires_ns=time.time_ns() + 10**12)
    assert api_keys.opens(key, text)
    assert not api_keys.opens(key, text[:-1])
    assert not api_keys.opens(replace(key, expires_ns=time.time_ns()), text)
    assert not api_keys.opens(replace(key, revoked_ns=1), text)
    assert api_keys.opens(replace(key, expires_ns=None), text)


@pytest.mark.parametrize(
    ("options", "field"), [({"expires_ns": 1}, "expires"), ({"name": "x" * 257}, "name")]
)
def test_what_no_key_can_have_is_refused(options: dict[str, object], field: str) -> None:
    with pytest.raises(SpanloomError) as refused:
        api_keys.new_key("p", "read", **options)  # type: ignore[arg-type]
    assert [violation.field for violation in refused.value.violations] == [field]
