"""Another receiver of OTLP over HTTP."""

from __future__ import annotations

import gzip
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import unquote, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanloom.errors import SetupError
from spanloom.tracing import unsampled

_PATH: Final = "/v1/traces"
_SECONDS: Final = 30.0
_MOST_ANSWER: Final = 1 << 16
_TOO_LARGE: Final = 413
# The request itself is wrong, and will be the next time.
_REFUSING: Final = frozenset({400, 405, 411, 414, 415, 422, 431})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver says of a request.

    Attributes:
        stored: Whether it has taken the request.
        again: Whether the same request may be taken later.
        too_large: Whether it may take parts of the request.
        refused_spans: The spans of a request that it took, but these not.
        retry_after: Seconds, None if it does not say.
    """

    stored: bool = False
    again: bool = False
    too_large: bool = False
    refused_spans: int = 0
    retry_after: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where spans are sent.

    Args:
        url: The base, such as `https://collector.example:4318`, or with the path `/v1/traces`.
        headers: Sent with each request; `repr` does not show them.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def send(self, message: bytes) -> Answer:
        """Send an ExportTraceServiceRequest, and wait for the answer."""
        request = urllib.request.Request(  # noqa: S310 - `receiver` has checked the scheme
            self.url,
            gzip.compress(message, 1),
            {
                **self.headers,
                # Another Spanloom records nothing of this call: else two that send to each other
                # would never stop.
                "traceparent": unsampled(),
                "content-type": "application/x-protobuf",
                "content-encoding": "gzip",
                "user-agent": "spanloom",
            },
        )
        try:
            with _OPENER.open(request, timeout=_SECONDS) as response:
                return _taken(response.read(_MOST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                return _not_taken(error.code, error.headers)
        except (OSError, http.client.HTTPException) as error:
            return Answer(again=True, message=str(getattr(error, "reason", None) or error))


def receiver(url: str, headers: str = "", setting: str = "forward") -> Receiver:
    """The receiver of two settings.

    Args:
        setting: What their names begin with.
        url: `http://` or `https://`; without a path, that of OTLP is added.
        headers: `name=value,...`, each value percent-encoded as in OTEL_EXPORTER_OTLP_HEADERS.

    Raises:
        SetupError: The URL or the headers are none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupError(f"{setting}_url must be http://HOST:PORT or https://HOST, not {url!r}")
    if not parts.path.strip("/"):
        parts = parts._replace(path=_PATH)
    elif not parts.path.rstrip("/").endswith(_PATH):
        parts = parts._replace(path=parts.path.rstrip("/") + _PATH)
    found = {}
    for pair in filter(None, map(str.strip, headers.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SetupError(f"{setting}_headers must be NAME=VALUE, separated by commas")
        found[name.strip().lower()] = unquote(value.strip())
    return Receiver(parts.geturl(), found)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The headers hold credentials, which are for one server."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def _taken(body: bytes) -> Answer:
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:  # a receiver that answers in another form has taken it all the same
        return Answer(stored=True)
    return Answer(stored=True, refused_spans=partial.rejected_spans, message=partial.error_message)


def _not_taken(status: int, headers: Message) -> Answer:
    after = headers.get("retry-after", "")
    seconds = float(after) if after.isascii() and after.isdigit() else None
    return Answer(
        again=status not in _REFUSING and status != _TOO_LARGE,
        too_large=status == _TOO_LARGE,
        retry_after=seconds,
        message=f"status {status}",
    )
