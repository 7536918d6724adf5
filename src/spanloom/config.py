"""Settings: read once, from the command line and the environment (`SPANLOOM_<NAME>`)."""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spanloom.errors import SetupError
from spanloom.model.addresses import is_loopback, networks
from spanloom.model.limits import Limits

PREFIX = "SPANLOOM_"
_KINDS = {bool: "yes or no", int: "an integer", float: "a number", str: "a string"}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


# Elsewhere SO_REUSEPORT gives all connections to one of the processes.
CAN_SHARE_PORTS = sys.platform == "linux"
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """The cores that this process may use; a container's quota is rounded up to whole cores."""
    if not CAN_SHARE_PORTS:
        return 1
    found = len(os.sched_getaffinity(0))
    try:
        quota, period = map(int, _CPU_QUOTA.read_text().split())
        return min(found, max(1, math.ceil(quota / period)))
    except (OSError, ValueError, ArithmeticError):  # no file, or "max": no quota
        return found


CORES = cores()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of a server. Sizes are bytes, times are seconds."""

    database: str = "sqlite:///spanloom.db"
    control_database: str = (
        ""  # keys, projects and all that is not spans; "" for that of `database`
    )
    read_database: str = ""  # a standby of `database` for exports, searches and charts; "" for none
    stale_reads: bool = False  # these may miss what was acknowledged a moment before
    grpc_address: str = "127.0.0.1:4317"
    http_address: str = "127.0.0.1:4318"
    metrics_address: str = "127.0.0.1:9464"  # of the page for Prometheus; "" for none
    # Files in PEM, for TLS on both ports; "" for none.
    tls_certificate: str = ""  # of the server, and behind it those of its issuers
    tls_key: str = ""  # without a password
    tls_client_ca: str = ""  # authorities: each client must have a certificate of one of them
    require_tls: bool = False  # start with TLS only
    workers: int = CORES
    no_auth: bool = False
    max_request_bytes: int = 64 * 1024 * 1024
    max_event_bytes: int = 8 * 1024 * 1024  # of one event or span with its updates
    request_timeout: float = 60.0
    max_in_flight: int = 1024
    max_streams: int = 4096  # streams are not among the calls in flight, for they may be idle
    max_calls_per_key: int = 512  # of those in flight; others find room
    # Seconds in which calls that write are answered, or else fewer are let in; 0 for no such limit.
    target_latency: float = 1.0
    max_bytes_in_flight: int = 192 * 1024 * 1024  # of memory; a key has half of it
    max_connections: int = 10_000
    max_connections_per_address: int = 5_000
    max_failed_keys: int = 1000  # of one address in a minute
    max_header_bytes: int = 65_536  # with the URL
    max_url_bytes: int = 32_768
    header_timeout: float = 10.0
    body_timeout: float = 60.0  # without a byte of a body
    write_timeout: float = 30.0  # in which a client takes nothing of what waits for it
    queue_rows: int = 50_000
    queue_bytes: int = 64 * 1024 * 1024
    # Limits of each project that has none of its own, and of each key; 0 for none.
    requests_per_second: int = 0
    bytes_per_second: int = 0  # of what is written
    spans_per_second: int = 0
    stored_spans: int = 0  # that a project may have
    key_requests_per_second: int = 0
    key_bytes_per_second: int = 0
    key_spans_per_second: int = 0
    retention_days: int = 0  # for which traces are kept; 0 for ever
    lame_duck: float = 1.5  # seconds of UNAVAILABLE before a busy server stops listening
    drain_timeout: float = 10.0
    # The age at which a gRPC connection takes no new calls, so that clients spread over servers.
    max_connection_age: float = 1800.0  # 0 for never
    cors_origins: str = ""  # comma-separated; "*" for any; "" switches CORS off
    # Comma-separated networks of proxies, whose X-Forwarded-For or Forwarded names the client.
    trusted_proxies: str = ""
    ui_hosts: str = ""  # comma-separated host names of the page, where a proxy gives others
    accept_logs_and_metrics: bool = True  # else they are not served
    public_url: str = ""  # of the HTTP port, for uploads; "" for the host of the request
    redact_credentials: bool = True  # values under names such as api_key, before they are stored
    redaction: str = ""  # a TOML file of rules for all projects
    prices: str = ""  # a TOML file of prices for all projects
    # A receiver of OTLP over HTTP that gets what is stored; "" for none.
    forward_url: str = ""
    forward_headers: str = field(default="", repr=False)  # NAME=VALUE,... percent-encoded
    forward_projects: str = ""  # comma-separated; "" for all
    # A receiver of OTLP over HTTP that gets spans about this server itself; "" for none.
    tracing_url: str = ""
    tracing_headers: str = field(default="", repr=False)
    tracing_ratio: float = 1.0  # of the calls
    evaluate: bool = True  # run evaluators in this process
    evaluator_cpu_seconds: float = 10.0  # of one run
    evaluator_memory_bytes: int = 512 * 1024 * 1024
    evaluation_lease: float = 30.0  # then another process may run what one that died had taken
    # An OpenAI-compatible endpoint, for evaluators that ask a model; "" switches them off.
    judge_base_url: str = ""
    judge_api_key: str = field(default="", repr=False)
    judge_model: str = "gpt-4o-mini"
    log_format: str = "console"  # or json
    log_level: str = "info"

    def __post_init__(self) -> None:
        for name in ("grpc_address", "http_address", "metrics_address"):
            if name != "metrics_address" or self.metrics_address:
                split_address(getattr(self, name), name)
        if self.no_auth:
            for name in ("grpc_address", "http_address"):
                if not is_loopback(split_address(getattr(self, name), name)[0]):
                    raise SetupError(
                        f"--no-auth requires loopback addresses,"
                        f" but {name} is {getattr(self, name)}"
                    )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise SetupError("tls_certificate and tls_key belong together: give both or none")
        for name in ("tls_client_ca", "require_tls"):
            if getattr(self, name) and not self.tls_certificate:
                raise SetupError(f"{name} requires tls_certificate and tls_key")
        try:
            networks(self.trusted_proxies)
        except ValueError as error:
            raise SetupError(f"trusted_proxies must be a list of networks: {error}") from None
        if self.log_format not in ("console", "json"):
            raise SetupError(f"log_format must be console or json, not {self.log_format!r}")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SetupError(
                f"log_level must be debug, info, warning or error, not {self.log_level!r}"
            )
        if not 0 <= self.tracing_ratio <= 1:
            raise SetupError("tracing_ratio must be between 0 and 1")
        if self.workers > 1 and not CAN_SHARE_PORTS:
            raise SetupError(
                "workers must be 1: this operating system does not balance connections over"
                " processes that share a port"
            )
        for name in (
            "workers",
            "max_request_bytes",
            "max_event_bytes",
            "request_timeout",
            "evaluation_lease",
            "evaluator_cpu_seconds",
            "evaluator_memory_bytes",
            "max_in_flight",
            "max_streams",
            "max_calls_per_key",
            "max_bytes_in_flight",
            "max_connections",
            "max_connections_per_address",
            "max_failed_keys",
            "max_header_bytes",
            "max_url_bytes",
            "header_timeout",
            "body_timeout",
            "write_timeout",
            "queue_rows",
            "queue_bytes",
        ):
            if not getattr(self, name) > 0:
                raise SetupError(f"{name} must be greater than 0")
        for name in (
            *("lame_duck", "drain_timeout", "max_connection_age", "target_latency"),
            *("retention_days", "requests_per_second", "bytes_per_second", "spans_per_second"),
            *("stored_spans", "key_requests_per_second", "key_bytes_per_second"),
            "key_spans_per_second",
        ):
            if not getattr(self, name) >= 0:
                raise SetupError(f"{name} must not be negative")

    @property
    def limits(self) -> tuple[Limits, Limits]:
        """Those of a project that has none of its own, and those of a key."""
        of_project = Limits(
            requests_per_second=self.requests_per_second,
            bytes_per_second=self.bytes_per_second,
            spans_per_second=self.spans_per_second,
            stored_spans=self.stored_spans,
        )
        of_key = Limits(
            requests_per_second=self.key_requests_per_second,
            bytes_per_second=self.key_bytes_per_second,
            spans_per_second=self.key_spans_per_second,
        )
        return of_project, of_key


def load(given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from what is `given` (not None), else from `SPANLOOM_<NAME>`, else the default."""
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        if given.get(setting.name) is not None:
            values[setting.name] = given[setting.name]
        elif (text := environ.get(PREFIX + setting.name.upper())) is not None:
            values[setting.name] = _parsed(setting.name, text, type(setting.default))
    return Settings(**values)


# Settings of the commands and of the client.
_OF_CLIENTS = ("URL", "KEY", "PROJECT", "CONFIG", "CA", "CLIENT_CERTIFICATE", "CLIENT_KEY")
# Kubernetes sets these for a service of the name spanloom.
_OF_KUBERNETES = re.compile(rf"{PREFIX}(SERVICE|PORT)(_.*)?")


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that looks like a setting and is none."""
    known = [PREFIX + name for name in (*(f.name.upper() for f in fields(Settings)), *_OF_CLIENTS)]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _OF_KUBERNETES.fullmatch(name):
            close = difflib.get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"warning: {name} is not a setting{meant}")
    return lines


def split_address(address: str, name: str = "address") -> tuple[str, int]:
    """The parts of HOST:PORT; an IPv6 host is in brackets."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SetupError(f"{name} must be HOST:PORT, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _parsed(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError
            return word in _TRUE
        return kind(text)
    except ValueError:
        raise SetupError(f"{PREFIX}{name.upper()} must be {_KINDS[kind]}, not {text!r}") from None
