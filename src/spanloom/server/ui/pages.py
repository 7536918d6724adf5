"""`/ui/`: the page, its files, sign-in and sign-out, and `/ui/api/`, the API for the page.

Only `/ui/api/` reads the cookie, and only for requests of the page itself. It hands the request to
REST with the ticket in it as its credentials.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanloom.model import Key
from spanloom.model.addresses import is_loopback
from spanloom.server.auth import valid_key, without_port
from spanloom.server.http.request import media_type_of, metadata_of
from spanloom.server.http.transcode import JSON
from spanloom.server.sign_in import TICKET_SECONDS, link_digest, new_ticket
from spanloom.server.ui.files import Files, read_files

log = structlog.get_logger("spanloom")

PREFIX: Final = "/ui/"
_API: Final = "/ui/api"
# How long a refusal waits, so that trying keys is slow.
_REFUSAL_SECONDS: Final = 0.2
_MOST_BYTES: Final = 10_000
_CREDENTIALS: Final = {b"authorization", b"wandb-api-key", b"cookie"}
_PORT = re.compile(r":(\d{1,5})$")
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_SAFE: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
}
_NOT_BUILT: Final = """\
This server has no web page, because it was installed from a source tree without one.
To build it, run `make ui` in the source tree (it needs access to the npm registry),
and start the server again.
"""


class SignInStore(Protocol):
    async def find_key(self, key_id: str) -> Key | None: ...

    async def use_sign_in_link(self, digest: str, now_ns: int) -> Key | None: ...


class Pages:
    """The routes of the page.

    Args:
        store: Finds keys; None if the server needs no key.
        any_host: Whether requests may name any host: the server does not listen on a loopback
            address. Otherwise a page of another site could reach it by a name of its own.
        hosts: Host names that requests may have in addition.
    """

    def __init__(
        self, store: SignInStore | None, *, any_host: bool, hosts: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._any_host = any_host
        self._hosts = {host.lower() for host in hosts}
        self._files: Files | None = read_files()

    def routes(self, refuse: ASGIApp) -> list[BaseRoute]:
        """All routes but the API. `refuse`: answers what is no page."""

        async def home(request: Request) -> Response:
            if "text/html" in request.headers.get("accept", ""):
                return RedirectResponse("ui/", status_code=303)
            return _Forward(refuse)

        return [
            Route("/", home),
            Route("/ui", self._guarded(self._to_page)),
            Route("/ui/sign-in", self._guarded(self._sign_in), methods=["POST"]),
            Route("/ui/sign-in", self._guarded(self._sign_out), methods=["DELETE"]),
            Route("/ui/{path:path}", self._guarded(self._page)),
        ]

    def api(self, scope: Scope) -> Scope | None:
        """The request for REST that a request under `/ui/api/` is; None for another path."""
        raw_path: bytes = scope["raw_path"]
        if not raw_path.startswith(b"/ui/api/"):
            return None
        headers = [pair for pair in scope["headers"] if pair[0] not in _CREDENTIALS]
        ticket = _cookies(metadata_of(scope)).get(_cookie_name(scope))
        if ticket and self._store:
            headers.append((b"authorization", b"Bearer " + ticket.encode("latin-1", "replace")))
        at = len(_API)
        path = scope["path"][at:]
        return {**scope, "path": path, "raw_path": raw_path[at:], "headers": headers}

    def knows(self, host: str) -> bool:
        """Whether requests may name this host."""
        return self._any_host or is_loopback(host) or host.lower() in self._hosts

    def refusal(self, scope: Scope) -> Response | None:
        """Why a request must not be answered: it does not come from the page, or not to this
        host."""
        metadata = metadata_of(scope)
        host = without_port(metadata.get("host", ""))
        if not self.knows(host):
            return _error(421, f"SPANLOOM_UI_HOSTS does not name the host {host[:100]!r}")
        if scope["path"].startswith(_API) or scope["method"] not in ("GET", "HEAD"):
            site, origin = metadata.get("sec-fetch-site"), metadata.get("origin")
            if site:
                is_own = site == "same-origin"
            elif origin:  # `null` for a page without an origin
                is_own = origin.partition("://")[2] == metadata.get("host")
            else:
                is_own = scope["method"] in _READS
            if not is_own:
                return _error(403, "only the page of this server may send this request")
        return None

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            response = self.refusal(request.scope) or await answer(request)
            response.headers.update({k: v for k, v in _SAFE.items() if k not in response.headers})
            return response

        return guarded

    async def _to_page(self, request: Request) -> Response:
        return RedirectResponse("ui/", status_code=303)

    async def _page(self, request: Request) -> Response:
        if self._files is None:
            return Response(_NOT_BUILT, status_code=503, media_type="text/plain")
        path = request.path_params["path"]
        if file := self._files.assets.get(path):
            kept = _FOR_EVER if path.startswith("a/") else "no-cache"
            headers = {"cache-control": kept, "vary": "accept-encoding"}
            is_packed = "gzip" in request.headers.get("accept-encoding", "")
            if is_packed:
                headers["content-encoding"] = "gzip"
            body = file.packed if is_packed else file.body
            return Response(body, headers=headers, media_type=file.content_type)
        if path.startswith("a/"):  # of an earlier build, which a browser still shows
            return Response("there is no such file", status_code=404, media_type="text/plain")
        depth = request.scope["raw_path"].count(b"/") - PREFIX.count("/")
        return Response(
            self._files.page(depth), media_type="text/html", headers={"cache-control": "no-cache"}
        )

    async def _sign_in(self, request: Request) -> Response:
        """Body: `{"key": ...}` or `{"link": ...}`."""
        if media_type_of(metadata_of(request.scope)) != JSON:
            return _error(415, f"send {JSON}")
        given = await _body(request)
        key = await self._key(given)
        if self._store is None or key is None:
            log.warning("sign-in refused", by="link" if "link" in given else "key")
            await asyncio.sleep(_REFUSAL_SECONDS)
            return _error(401, "this link is no longer valid" if "link" in given else _INVALID)
        response = Response(status_code=204, headers={"cache-control": "no-store"})
        self._set_cookie(request, response, new_ticket(key, time.time()), TICKET_SECONDS)
        return response

    async def _key(self, given: dict[str, Any]) -> Key | None:
        key, link = given.get("key"), given.get("link")
        if self._store is None:
            return None
        if isinstance(link, str):
            return await self._store.use_sign_in_link(link_digest(link), time.time_ns())
        return await valid_key(self._store, key.strip()) if isinstance(key, str) else None

    async def _sign_out(self, request: Request) -> Response:
        response = Response(status_code=204)
        self._set_cookie(request, response, "", 0)
        return response

    def _set_cookie(self, request: Request, response: Response, text: str, seconds: int) -> None:
        # Without a path, the cookie is for the directory of /ui/sign-in as the browser sees it,
        # which may be below the path of a proxy.
        schemes = (request.url.scheme, request.headers.get("origin", "").partition(":")[0])
        secure = "; Secure" if "https" in schemes else ""
        response.headers["set-cookie"] = (
            f"{_cookie_name(request.scope)}={text}; Max-Age={seconds}; HttpOnly; SameSite=Strict"
            f"{secure}"
        )


_READS: Final = ("GET", "HEAD")
_INVALID: Final = "this key is not valid, or it was revoked"


class _Forward(Response):
    """The answer of another app."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def not_stored(send: Send) -> Send:
    """Adds to an answer of the API that nothing keeps it, and no other site reads it."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = {**_SAFE, "cache-control": "no-store"}
            headers = [(name.encode(), value.encode()) for name, value in more.items()]
            kept = [pair for pair in message["headers"] if pair[0] != b"cache-control"]
            message = {**message, "headers": [*kept, *headers]}
        await send(message)

    return sending


def _cookies(metadata: dict[str, str]) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in metadata.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cookie_name(scope: Scope) -> str:
    """Cookies do not know ports: two servers on one host have one each."""
    port = _PORT.search(metadata_of(scope).get("host", ""))
    return f"spanloom-ui-{port[1] if port else 'default'}"


async def _body(request: Request) -> dict[str, Any]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return {}
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return given if isinstance(given, dict) else {}


def _error(code: int, message: str) -> Response:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return Response(body, status_code=code, media_type=JSON)
