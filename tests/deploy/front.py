"""The Envoy of deploy/envoy, run before servers of a test instead of those that its files name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.envoy import EnvoyProcess

ENVOY = Path(__file__).resolve().parent.parent.parent / "deploy" / "envoy"
CERTIFICATES = "/etc/envoy-tls"


def write_certificate(authority: trustme.CA, directory: Path) -> None:
    """A new certificate for 127.0.0.1 in tls.crt and tls.key, put in place by renaming."""
    made = authority.issue_cert("127.0.0.1")
    chain = b"".join(part.bytes() for part in made.cert_chain_pems)
    for name, content in (("tls.key", made.private_key_pem.bytes()), ("tls.crt", chain)):
        part = directory / f"{name}.part"
        part.write_bytes(content)
        part.rename(directory / name)


def front(
    directory: Path, servers: Sequence[tuple[str, str]], *, per_try_timeout: str = ""
) -> EnvoyProcess:
    """The Envoy with the certificate in `directory`.

    Args:
        servers: their addresses (IP:PORT) of gRPC and of HTTP.
        per_try_timeout: in place of the file's, as "0.2s".
    """
    config = yaml.safe_load((ENVOY / "envoy.yaml").read_text())
    config["admin"]["address"] = _address("127.0.0.1:0")
    (listener,) = config["static_resources"]["listeners"]
    listener["address"] = _address("127.0.0.1:0")
    (chain,) = listener["filter_chains"]
    tls = chain["transport_socket"]["typed_config"]["common_tls_context"]
    (secret,) = tls["tls_certificate_sds_secret_configs"]
    certificate = directory / "certificate.yaml"
    text = (ENVOY / "certificate.yaml").read_text()
    certificate.write_text(text.replace(CERTIFICATES, str(directory)))
    secret["sds_config"]["path_config_source"]["path"] = str(certificate)
    if per_try_timeout:
        (manager,) = chain["filters"]
        (host,) = manager["typed_config"]["route_config"]["virtual_hosts"]
        host["retry_policy"]["per_try_timeout"] = per_try_timeout
    clusters = config["static_resources"]["clusters"]
    assert [cluster["name"] for cluster in clusters] == ["grpc", "rest"]
    for cluster, addresses in zip(clusters, zip(*servers, strict=True), strict=True):
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        endpoints["lb_endpoints"] = [{"endpoint": {"address": _address(a)}} for a in addresses]
    return EnvoyProcess(config)


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
