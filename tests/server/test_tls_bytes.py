"""TLS in pieces of any size, and files that are no identity."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanloom.config import Settings
from spanloom.errors import SetupError
from spanloom.server.certificates import Certificates, TlsFiles
from spanloom.server.http.tls import Tls
from tests.tls_files import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> Certificates:
    return Certificates(TlsFiles(*authority.issue()))


class Peer:
    """A client of OpenSSL, without a connection."""

    def __init__(self, authority: Authority) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = authority.context().wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )

    def sends(self, work: Callable[[], object], received: bytes = b"") -> bytes:
        self._incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            work()
        return self._outgoing.read()


@settings(max_examples=30)
@given(
    texts=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=4),
)
def test_pieces_of_any_size_are_put_together(
    authority: Authority, certificates: Certificates, texts: list[bytes], sizes: list[int]
) -> None:
    server, peer = Tls(certificates), Peer(authority)
    left = iter(sizes * 1000)

    def give(sealed: bytes) -> bytes:
        answer = b""
        for piece in pieces(sealed, left):
            server.feed(piece)
            answer += server.sealed()
        return answer

    answer = give(peer.sends(peer.object.do_handshake))
    while sent := peer.sends(peer.object.do_handshake, answer):
        answer = give(sent)
    for text in texts:
        give(peer.sends(lambda text=text: peer.object.write(text)))  # type: ignore[misc]
    assert server.plain == b"".join(texts)
    read = bytearray()
    sealed = b"".join(server.sealed(text) for text in texts)

    def read_all() -> None:
        while part := peer.object.read(100_000):
            read.extend(part)

    peer.sends(read_all, sealed + server.farewell())
    assert read == b"".join(texts)
    give(peer.sends(peer.object.unwrap))
    assert server.is_ended


def pieces(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while data:
        size = next(sizes, len(data))
        yield data[:size]
        data = data[size:]


@given(data=st.binary(min_size=1, max_size=2000))
def test_bytes_that_are_no_tls_are_refused_and_no_more(
    certificates: Certificates, data: bytes
) -> None:
    server = Tls(certificates)
    try:
        server.feed(data)
    except ssl.SSLError as error:
        server.last_words(error)
    assert server.plain == b""
    assert not server.is_ended


def test_files_that_are_no_identity_end_the_start(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue()
    other = Authority(tmp_path / "other")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True)
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    for files, why in (
        (TlsFiles(str(tmp_path / "none"), key), "none"),
        (TlsFiles(certificate, other.issue()[1]), "mismatch"),
        (TlsFiles(certificate, str(nonsense)), "PEM"),
        (TlsFiles(certificate, str(locked)), "password"),
        (TlsFiles(certificate, key, str(nonsense)), "certificate"),
    ):
        with pytest.raises(SetupError, match=f"(?i){why}"):
            Certificates(files)


@pytest.mark.parametrize(
    "values",
    [
        {"tls_certificate": "a"},
        {"tls_key": "a"},
        {"tls_client_ca": "a"},
        {"require_tls": True},
        {"require_tls": True, "trusted_proxies": "127.0.0.1"},
    ],
)
def test_half_of_the_settings_ends_the_start(values: dict[str, str]) -> None:
    with pytest.raises(SetupError, match="tls"):
        Settings(**values)  # type: ignore[arg-type]
