"""Times of events in the forms that clients send."""

from __future__ import annotations

import pytest

from spanloom.codec import json_codec
from spanloom.codec.json_error import JsonError
from spanloom.v1 import event_service_pb2
from tests.contract.calls import create_events, get_event, get_session, update_event
from tests.contract.conftest import Project

MS = 1_795_000_000_250.0


@pytest.mark.parametrize("sent", [MS, MS / 1e3, MS * 1e3, MS * 1e6])
def test_numbers_are_read_by_their_size(project: Project, sent: float) -> None:
    create_events(project, {"event_id": "e", "session_id": "s", "start_time": sent})
    # A double holds nanoseconds of today to a quarter of a microsecond.
    assert get_event(project, "e")["start_time"] == pytest.approx(MS, abs=0.001, rel=0)
    update_event(project, "e", start_time=0, end_time=sent)
    event = get_event(project, "e")
    assert event["start_time"] == 0
    assert event["end_time"] == pytest.approx(MS, abs=0.001, rel=0)


def test_iso_8601_is_read_in_json() -> None:
    for text, ms in (
        ("2026-11-18T11:06:40.250Z", MS),
        ("2026-11-18 12:06:40.25+01:00", MS),
        ("2026-11-18T11:06:40", MS - 250),
        (" 12.5 ", 12.5),
    ):
        body = f'{{"event": {{"event_type": "tool", "start_time": "{text}"}}}}'.encode()
        read = json_codec.parse(body, event_service_pb2.CreateEventRequest)
        assert read.message.event.start_time == ms
    bad = b'{"event": {"event_type": "tool", "start_time": "yesterday"}}'
    with pytest.raises(JsonError, match=r"event\.start_time"):
        json_codec.parse(bad, event_service_pb2.CreateEventRequest)


def test_times_that_the_server_computes_are_whole_milliseconds(project: Project) -> None:
    create_events(project, {"event_id": "now", "session_id": "s"})
    assert get_event(project, "now")["start_time"] % 1 == 0
    create_events(
        project, {"event_id": "e", "session_id": "t", "start_time": 10.25, "end_time": 20.75}
    )
    event = get_event(project, "e")
    assert (event["start_time"], event["end_time"]) == (10.25, 20.75)
    session = get_session(project, "t")
    assert (session.start_time, session.end_time, session.duration) == (10, 20, 10)
