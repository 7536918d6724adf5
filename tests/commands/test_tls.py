"""A server with TLS in several processes, and commands and the client that call it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import spanloom
from spanloom.client.connection import connection
from tests.test_cli import refused, serving
from tests.test_cli import spanloom as command
from tests.tls_files import Authority


def out(*arguments: str, cwd: Path, **settings: str) -> str:
    done = command(*arguments, cwd=cwd, **settings)
    assert done.returncode == 0, done
    return done.stdout


def test_commands_call_a_server_that_asks_for_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, path = authority.issue()
    own = authority.issue("client", "someone@example.org")
    options = ["--tls-certificate", certificate, "--tls-key", path, "--require-tls"]
    options += ["--tls-client-ca", authority.ca, "--workers", "2"]
    with serving(*options, cwd=tmp_path, lines=9) as server:
        assert server.find(r"\nTLS: (.*)\n") == f"{certificate}, clients: with certificates only"
        assert server.find(r"\nweb page: (.*)\n").startswith((f"https://{server.http}/", "not b"))
        key = server.find(r"\nfirst key .*: (sl_\S+)\n")
        call = server.printed.partition("try it:\n")[2].strip()
        tls = f" --cacert {authority.ca} --cert {own[0]} --key {own[1]}"
        done = subprocess.run(["bash", "-c", call + tls], capture_output=True, timeout=30)
        assert b'"trace"' in done.stdout, done

        where = ["--url", f"https://{server.grpc}", "--key", key]
        files = ["--ca", authority.ca, "--client-certificate", own[0], "--client-key", own[1]]
        assert key[3:19] in out("keys", "list", *where, *files, cwd=tmp_path)
        environment = {
            "SPANLOOM_URL": f"grpcs://{server.grpc}",
            "SPANLOOM_KEY": key,
            "SPANLOOM_CA": authority.ca,
            "SPANLOOM_CLIENT_CERTIFICATE": own[0],
            "SPANLOOM_CLIENT_KEY": own[1],
        }
        assert "default" in out("projects", cwd=tmp_path, **environment)
        profile = tmp_path / "config.toml"
        profile.write_text(
            f'[profiles.mine]\nurl = "https://{server.grpc}"\nkey = "{key}"\n'
            f'ca = "{authority.ca}"\nclient_certificate = "{own[0]}"\nclient_key = "{own[1]}"\n'
        )
        named = {"SPANLOOM_CONFIG": str(profile)}
        assert key[3:19] in out("keys", "list", "--profile", "mine", cwd=tmp_path, **named)
        credentials = spanloom.tls(ca=authority.ca, certificate=own[0], key=own[1])
        with spanloom.Client(where[1], key=key, credentials=credentials) as client:
            assert [found.project_id for found in client.list_projects()] == ["default"]


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    assert "require_tls requires tls_certificate" in refused("serve", "--require-tls", cwd=tmp_path)
    missing = ["--tls-certificate", "none.pem", "--tls-key", "none.pem"]
    assert "none.pem" in refused("serve", *missing, cwd=tmp_path)
    for options, why in (
        (["--ca", "none.pem"], "none.pem cannot be read"),
        (["--client-key", __file__], "belong together"),
    ):
        done = command("keys", "list", "--url", "https://127.0.0.1:1", *options, cwd=tmp_path)
        assert done.returncode
        assert why in done.stderr


@pytest.mark.parametrize(
    ("url", "is_secure"),
    [
        ("127.0.0.1:4317", False),
        ("http://127.0.0.1:4317", False),
        ("grpc://127.0.0.1:4317", False),
        ("https://127.0.0.1:4317", True),
        ("grpcs://127.0.0.1:4317", True),
    ],
)
def test_the_scheme_decides_whether_a_call_is_encrypted(url: str, is_secure: bool) -> None:
    assert bool(connection(url, "", None, None).credentials) == is_secure
