"""Calls of the API's methods for one request, as its caller."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from urllib.parse import quote

from google.protobuf.message import Message

from spanloom.errors import SpanloomError
from spanloom.server.methods import Method
from spanloom.server.middleware import Middleware
from spanloom.v1 import query_service_pb2

TRANSPORT: Final = "mcp"


class Calls:
    """The methods of the table, called with the credentials of a request.

    Args:
        methods: By full name, such as `spanloom.v1.QueryService/GetCaller`.
        page: The URL of the web page, without a slash at its end; "" if there is none.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        middleware: Middleware,
        metadata: Mapping[str, str],
        request_id: str,
        page: str,
    ) -> None:
        self._methods, self._middleware = methods, middleware
        self._metadata, self._request_id = metadata, request_id
        self._page = page
        self._project = ""

    async def one(self, name: str, request: Message) -> Any:
        """The answer of a method.

        Raises:
            SpanloomError: The call failed.
        """

        async def read() -> Message:
            return request

        answer = await self._middleware.unary(
            self._methods[f"spanloom.v1.{name}"],
            self._metadata,
            read,
            request_id=self._request_id,
            transport=TRANSPORT,
        )
        if isinstance(answer, SpanloomError):
            raise answer
        return answer

    async def many(self, name: str, request: Message) -> AsyncGenerator[Any, None]:
        """The answers of a method; whoever does not read to the end must close the generator.

        Raises:
            SpanloomError: The call failed.
        """

        async def read() -> Message:
            return request

        answers = self._middleware.stream(
            self._methods[f"spanloom.v1.{name}"],
            self._metadata,
            read,
            request_id=self._request_id,
            transport=TRANSPORT,
        )
        async with contextlib.aclosing(answers):
            async for answer in answers:
                if isinstance(answer, SpanloomError):
                    raise answer
                yield answer

    async def caller(self) -> Any:
        """Who calls, as GetCaller answers."""
        found = await self.one("QueryService/GetCaller", query_service_pb2.GetCallerRequest())
        self._project = found.project_id
        return found

    def link(self, path: str) -> str:
        """The URL of a place in the web page, below the caller's project; "" if there is none."""
        return f"{self._page}/ui/p/{quote(self._project, safe='')}/{path}" if self._page else ""
