"""The page `/docs`: Swagger UI on `/openapi.json`.

A release of the package contains Swagger UI (`tools/docs_page.py`). Without it, the page is a text
that says how to get it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from spanloom.server.http.request import metadata_of
from spanloom.server.middleware import REQUEST_ID, request_id_of

SWAGGER_UI = Path(__file__).parent / "swagger_ui"

# Nothing of other hosts, no code in the page itself, and no page around it. Some icons of Swagger
# UI are in its styles, as `data:`.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
# All addresses are relative, so that a proxy may add a prefix.
_PAGE = b"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Spanloom API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = b"""\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  docExpansion: "none",
  deepLinking: true,
  validatorUrl: null,
});
"""
_WITHOUT = b"""\
This page shows the API with Swagger UI, which this installation of Spanloom does not contain.
Releases contain it. In a source tree, `make docs-page` adds it; it needs npm.
The description of the API is at /openapi.json, for programs and for other viewers.
"""


def docs_routes() -> list[Route]:
    """The routes of the page; they need no key."""
    files = {
        name: SWAGGER_UI / name
        for name in ("swagger-ui-bundle.js", "swagger-ui.css")
        if (SWAGGER_UI / name).is_file()
    }
    if len(files) < 2:
        link = {"link": '<openapi.json>; rel="service-desc"'}
        return [Route("/docs", _answer(_WITHOUT, "text/plain; charset=utf-8", **link))]
    script, style = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
    return [
        Route("/docs", _answer(_PAGE, "text/html; charset=utf-8")),
        Route("/docs/start.js", _answer(_START, script)),
        *(
            Route(f"/docs/{name}", _answer(file, style if name.endswith(".css") else script))
            for name, file in files.items()
        ),
    ]


def _answer(
    content: bytes | Path, media_type: str, **headers: str
) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        request_id = {REQUEST_ID: request_id_of(metadata_of(request.scope))}
        all_headers = _HEADERS | headers | request_id
        if isinstance(content, Path):
            return FileResponse(content, media_type=media_type, headers=all_headers)
        return Response(content, media_type=media_type, headers=all_headers)

    return page
