"""SessionService: what proto/spanloom/v1/session_service.proto promises."""

from __future__ import annotations

from collections.abc import Sequence

from spanloom.adapters.honeyhive.nested import unfolded
from spanloom.adapters.honeyhive.read import read_session, read_session_events
from spanloom.adapters.honeyhive.session import ORG_ID, WORKSPACE_ID, session_message
from spanloom.adapters.honeyhive.update import read_restart
from spanloom.adapters.honeyhive.write import fill_event
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import invalid_field, not_found
from spanloom.model import Span
from spanloom.model.checks import possible_id
from spanloom.services.context import CallContext
from spanloom.services.trace_ids import stored_trace_id
from spanloom.store.store import Store
from spanloom.v1 import session_pb2, session_service_pb2


class SessionService:
    """Sessions in and out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start_session(
        self, request: session_service_pb2.StartSessionRequest, call: CallContext
    ) -> session_service_pb2.StartSessionResponse:
        properties = _bare(request)
        properties.MergeFrom(request.session)
        project = call.project(properties.project)
        span = read_session(
            properties,
            received_ns=call.received_ns,
            field="session" if request.HasField("session") else "",
        )
        await self._store.ensure_project(project)
        session_id = span.session_id
        again = read_restart(properties)
        await self._store.start_session(project, span, again, only_own=call.only_ingests)
        if not call.only_ingests:
            # As stored: with earlier fields, and with updates that came before the session.
            trace_id = span.trace_id
            span = await self._store.find_event(project, session_id, trace_id=trace_id) or span
        answer = session_service_pb2.StartSessionResponse(
            org_id=ORG_ID, workspace_id=WORKSPACE_ID, project_id=project
        )
        fill_event(answer, span)
        return answer

    async def add_session_traces(
        self, request: session_service_pb2.AddSessionTracesRequest, call: CallContext
    ) -> session_service_pb2.AddSessionTracesResponse:
        if request.events and request.logs:
            raise invalid_field("logs", "must not be set together with events")
        field, events = ("logs", request.logs) if request.logs else ("events", request.events)
        places = [f"{field}[{index}]" for index in range(len(events))]
        placed = await run_in_thread_if_large(len(events), lambda: unfolded(events, places))
        project = call.project_of_parts(
            (each.event.project, f"{each.place}.project") for each in placed
        )
        read = await run_in_thread_if_large(
            len(placed),
            lambda: read_session_events(
                request.session_id, placed, received_ns=call.received_ns, field=field, brief=True
            ),
        )
        await self._store.ensure_project(project)
        await self._store.write_spans(project, read.spans, events=True, only_own=call.only_ingests)
        return session_service_pb2.AddSessionTracesResponse(
            event_ids=read.event_ids, session_id=read.session_id, success=True
        )

    async def get_session(
        self, request: session_service_pb2.GetSessionRequest, call: CallContext
    ) -> session_service_pb2.GetSessionResponse:
        project = call.project()
        session_id = await stored_trace_id(self._store, project, _known(request.session_id))
        spans: Sequence[Span] = await self._store.session_spans(project, session_id)
        if (
            not spans
        ):  # A trace's id is a session's, too, where the trace is tagged with another one.
            spans = await self._store.trace_spans(project, session_id)
        if not spans:
            raise not_found("session", session_id)
        patch = await self._store.event_patch(project, session_id)
        return await run_in_thread_if_large(
            len(spans), lambda: session_message(session_id, spans, project=project, patch=patch)
        )

    async def delete_session(
        self, request: session_service_pb2.DeleteSessionRequest, call: CallContext
    ) -> session_service_pb2.DeleteSessionResponse:
        project = call.project()
        session_id = await stored_trace_id(self._store, project, _known(request.session_id))
        if not await self._store.delete_session(project, session_id):
            raise not_found("session", session_id)
        return session_service_pb2.DeleteSessionResponse(success=True, deleted=session_id)


def _bare(request: session_service_pb2.StartSessionRequest) -> session_pb2.SessionProperties:
    """The properties that the request has outside of its field `session`."""
    properties = session_pb2.SessionProperties()
    for field, value in request.ListFields():
        if field.name == "session":
            continue
        if field.message_type is not None:
            getattr(properties, field.name).CopyFrom(value)
        elif field.name == "children_ids":
            properties.children_ids.extend(value)
        else:
            setattr(properties, field.name, value)
    return properties


def _known(session_id: str) -> str:
    """An id that can be a session's."""
    if not session_id:
        raise invalid_field("session_id", "is required")
    if not possible_id(session_id):
        raise not_found("session", session_id[:64])
    return session_id
