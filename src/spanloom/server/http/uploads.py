"""`PUT /files/upload/<secret>`: the content of a file, for which FileService gave the address."""

from __future__ import annotations

import time
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spanloom.errors import shutting_down
from spanloom.server import status
from spanloom.server.call_log import log_refusal
from spanloom.server.funnel import as_error
from spanloom.server.http.request import ClientGoneError, media_type_of, metadata_of, read_body
from spanloom.server.http.transcode import JSON
from spanloom.server.middleware import REQUEST_ID, Middleware, request_id_of
from spanloom.services.files import MOST_BYTES, UPLOADS, upload_digest
from spanloom.store.files import Files

_TRANSPORT: Final = "upload"


def upload_routes(files: Files, middleware: Middleware) -> list[BaseRoute]:
    """The route. The secret in the path is the caller's only credential: it is checked before the
    body is read, and it is not logged."""

    async def put(request: Request) -> Response:
        metadata = metadata_of(request.scope)
        headers = {REQUEST_ID: request_id_of(metadata)}
        upload = upload_digest(request.path_params["secret"]), media_type_of(metadata)
        try:
            if middleware.draining:
                raise shutting_down()
            with middleware.budget.held() as held:
                is_known = await files.waits(*upload, time.time_ns())
                content = b""
                if is_known:
                    content = await read_body(metadata, request.receive, MOST_BYTES, held)
                if not content or not await files.fill(*upload, content, time.time_ns()):
                    return _refused(404, _NOTHING, headers)
        except ClientGoneError:
            return Response(status_code=400)  # nobody takes it
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = as_error(error, headers[REQUEST_ID], UPLOADS)
            target = f"PUT {UPLOADS}"
            log_refusal(refusal, headers[REQUEST_ID], transport=_TRANSPORT, target=target)
            return _refused(status.http_status(refusal), refusal.message, headers)
        return Response(status_code=204, headers=headers)

    return [Route(f"{UPLOADS}{{secret}}", put, methods=["PUT"])]


_NOTHING: Final = (
    "no upload waits here: the address was used, has expired, or was given for another"
    " Content-Type; or the body is empty"
)


def _refused(code: int, message: str, headers: dict[str, str]) -> Response:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return Response(body, code, headers, media_type=JSON)
