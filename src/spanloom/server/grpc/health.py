"""gRPC's health service: Check, List, and Watch, whose streams end when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from spanloom.errors import shutting_down
from spanloom.server.grpc.call import metadata_of, refuse
from spanloom.server.middleware import request_id_of

_States = health_pb2.HealthCheckResponse
_ListResponse: Any = vars(health_pb2)["HealthListResponse"]  # its types do not know it yet


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Knows of each service whether it serves."""

    def __init__(self) -> None:
        self._states: dict[str, Any] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def set_serving(self, services: Iterable[str], serving: bool) -> None:
        """Set the state of services; "" is the server as a whole."""
        state = _States.SERVING if serving else _States.NOT_SERVING
        states = dict.fromkeys(services, state)
        if self._closed or states.items() <= self._states.items():
            return
        async with self._changed:
            self._states.update(states)
            self._changed.notify_all()

    async def close(self) -> None:
        """Nothing serves from now on, and streams under way end."""
        await self.set_serving(list(self._states), False)
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def Check(  # noqa: N802 - the name of the RPC
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the server has no such service")
        return _States(status=state)

    async def List(self, request: Message, context: Any) -> Message:  # noqa: N802
        answers = {name: _States(status=state) for name, state in self._states.items()}
        answer: Message = _ListResponse(statuses=answers)
        return answer

    async def Watch(  # noqa: N802 - the name of the RPC
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> None:
        sent = None
        while True:
            state = self._states.get(request.service, _States.SERVICE_UNKNOWN)
            if state != sent:
                await context.write(_States(status=state))
                sent = state
            if self._closed:
                await refuse(context, shutting_down(), request_id_of(metadata_of(context)))
            async with self._changed:
                if self._states.get(request.service, _States.SERVICE_UNKNOWN) == sent:
                    await self._changed.wait()
