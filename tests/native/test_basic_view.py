"""SPAN_VIEW_BASIC is what the comment of its proto file says."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import assume, given

from spanloom.adapters.native.write import span_message
from spanloom.errors import SpanloomError
from spanloom.v1 import span_pb2 as pb
from tests.native.spans import spans
from tests.native.test_round_trip import read

PROTO = Path(__file__).parents[2] / "proto/spanloom/v1/span.proto"


def left_out() -> list[str]:
    comment = re.search(
        r"// All fields except the large ones: (.*?)\n  SPAN_VIEW_BASIC",
        PROTO.read_text(),
        re.DOTALL,
    )
    assert comment
    return re.findall(r"`(\w+)`", comment[1])


@given(spans)
def test_the_basic_view_leaves_out_the_large_fields_alone(span: pb.Span) -> None:
    try:
        stored = read(span)
    except SpanloomError:
        assume(False)
        raise
    basic, full = span_message(stored, basic=True), span_message(stored)
    names = left_out()
    assert len(names) == 16
    for name in names:
        full.ClearField(name)  # type: ignore[arg-type]
    full.user.ClearField("properties")
    if not basic.HasField("user"):
        assert not full.user.ByteSize()
        full.ClearField("user")
    assert basic == full
