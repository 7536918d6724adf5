"""SessionService: what proto/spanloom/v1/session_service.proto promises."""

from __future__ import annotations

from spanloom.errors import invalid_field, not_found
from spanloom.ingest.checks import possible_id
from spanloom.services.call import Call
from spanloom.services.conversion import converted
from spanloom.services.views.session import session_message
from spanloom.store.store import Store
from spanloom.v1 import session_service_pb2


class SessionService:
    """Sessions out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get_session(
        self, request: session_service_pb2.GetSessionRequest, call: Call
    ) -> session_service_pb2.GetSessionResponse:
        project = call.project()
        session_id = request.session_id
        if not session_id:
            raise invalid_field("session_id", "is required")
        if not possible_id(session_id):
            raise not_found("session", session_id[:64])
        # A trace's id is a session's, too, where the trace is tagged with another one.
        spans = await self._store.session_spans(
            project, session_id
        ) or await self._store.trace_spans(project, session_id)
        if not spans:
            raise not_found("session", session_id)
        return await converted(
            len(spans), lambda: session_message(session_id, spans, project=project)
        )
