"""Records from the APIs of Langfuse and Phoenix, page by page.

Sources: langfuse.com, Public API; Arize-ai/phoenix, src/phoenix/server/api/routers/v1/spans.py.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from spanloom.errors import SetupError, invalid_field
from spanloom.operations.imports.records import Place, placed

_SECONDS: Final = 60.0
_LARGEST: Final = 256 << 20
_ATTEMPTS: Final = 5
_AGAIN: Final = (429, 500, 502, 503, 504)
_LONGEST_WAIT: Final = 60.0
_LANGFUSE: Final = ("/api/public/traces", "/api/public/observations", "/api/public/v2/scores")


def langfuse_pages(url: str, public_key: str, secret_key: str) -> Iterator[Place]:
    """The records of a list of Langfuse's API, or of a whole project where the URL is that of a
    server.

    Raises:
        SpanloomError: INVALID_ARGUMENT; the server refuses, or does not answer.
        SetupError: The URL is none.
    """
    token = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
    headers = {"authorization": f"Basic {token}"} if public_key else {}
    base = _checked(url)
    is_list = "/api/public/" in urlsplit(base).path
    for address in [base] if is_list else [base.rstrip("/") + path for path in _LANGFUSE]:
        page: dict[str, Any] = {"page": 1, "limit": 100}
        number = 0
        while True:
            answer = _get(_with(address, page), headers)
            number += 1
            yield from placed(answer, f"{urlsplit(address).path} page {number} record")
            meta = answer.get("meta") if isinstance(answer, dict) else None
            after = _after(meta if isinstance(meta, dict) else {}, page)
            if after is None:
                break
            page = after


def phoenix_pages(url: str, key: str) -> Iterator[Place]:
    """The spans of a project of Phoenix, from `http://HOST/v1/projects/NAME/spans`.

    Raises:
        SpanloomError: INVALID_ARGUMENT; the server refuses, or does not answer.
        SetupError: The URL is none.
    """
    base = _checked(url)
    if not urlsplit(base).path.rstrip("/").endswith("/spans"):
        raise SetupError("the URL must be that of spans: http://HOST/v1/projects/NAME/spans")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    cursor: str | None = ""
    number = 0
    while cursor is not None:
        number += 1
        answer = _get(
            _with(base, {"limit": 1000, **({"cursor": cursor} if cursor else {})}), headers
        )
        yield from placed(answer, f"page {number} record")
        found = answer.get("next_cursor") if isinstance(answer, dict) else None
        cursor = found if isinstance(found, str) and found and found != cursor else None


def _after(meta: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of the next page, None behind the last one."""
    cursor = meta.get("cursor")
    if isinstance(cursor, str) and cursor and cursor != page.get("cursor"):
        return {"cursor": cursor, "limit": page["limit"]}
    number, total = page.get("page"), meta.get("totalPages")
    if isinstance(number, int) and isinstance(total, int) and number < total:
        return {**page, "page": number + 1}
    return None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupError(f"must be a file, http://HOST or https://HOST, not {url!r}")
    return url


def _with(url: str, parameters: Mapping[str, Any]) -> str:
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query)) | {name: str(of) for name, of in parameters.items()}
    return parts._replace(query=urlencode(given), fragment="").geturl()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The headers hold credentials, which are for one server."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def _get(url: str, headers: Mapping[str, str]) -> Any:
    where = urlsplit(url)._replace(query="").geturl()
    asked = {**headers, "accept": "application/json", "user-agent": "spanloom"}
    request = urllib.request.Request(url, headers=asked)  # noqa: S310 - the scheme is checked
    for attempt in range(_ATTEMPTS):
        try:
            with _OPENER.open(request, timeout=_SECONDS) as response:
                body = response.read(_LARGEST + 1)
            if len(body) > _LARGEST:
                raise invalid_field(where, "the answer is too large")
            return json.loads(body)
        except urllib.error.HTTPError as error:
            with error:
                wait = error.headers.get("retry-after", "")
                why = f"the server answered with status {error.code}"
                again = error.code in _AGAIN
        except ValueError:
            raise invalid_field(where, "the answer is no JSON") from None
        except OSError as error:
            wait, why, again = "", str(getattr(error, "reason", None) or error), True
        if not again or attempt == _ATTEMPTS - 1:
            raise invalid_field(where, why)
        seconds = float(wait) if wait.isascii() and wait.isdigit() else 2.0**attempt
        time.sleep(min(seconds, _LONGEST_WAIT))
    raise AssertionError("unreachable")
