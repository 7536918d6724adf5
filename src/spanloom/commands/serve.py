"""`spanloom serve`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import click

from spanloom import config
from spanloom.commands.stores import database_option, without_password


@click.command()
@click.option("--grpc-address", metavar="HOST:PORT", help="[default: 127.0.0.1:4317]")
@click.option("--http-address", metavar="HOST:PORT", help="[default: 127.0.0.1:4318]")
@click.option(
    "--metrics-address",
    metavar="HOST:PORT",
    help="Of the page for Prometheus, /metrics; '' for none [default: 127.0.0.1:9464]",
)
@database_option
@click.option(
    "--read-database",
    metavar="URL",
    help="A standby of the PostgreSQL database, for exports, searches and charts.",
)
@click.option(
    "--stale-reads",
    is_flag=True,
    default=None,
    help="Reads of the standby may miss what was acknowledged a moment before.",
)
@click.option(
    "--control-database",
    metavar="URL",
    help="The database of keys, projects and the like [default: that of --database].",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="The number of worker processes. [default: the number of cores]",
)
@click.option(
    "--no-auth",
    is_flag=True,
    default=None,
    help="Accept calls without an API key. Requires loopback addresses.",
)
@click.option("--tls-certificate", metavar="FILE", help="The certificate in PEM, for TLS.")
@click.option("--tls-key", metavar="FILE", help="The private key of the certificate in PEM.")
@click.option(
    "--tls-client-ca",
    metavar="FILE",
    help="Authorities in PEM: each client must have a certificate of one of them (mTLS).",
)
@click.option("--require-tls", is_flag=True, default=None, help="Do not start without TLS.")
@click.option(
    "--retention",
    "retention_days",
    type=click.IntRange(0),
    metavar="DAYS",
    help="For how many days traces are kept; 0 for ever [default: 0]. Projects may differ.",
)
@click.option("--log-format", type=click.Choice(["console", "json"]), help="[default: console]")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="[default: info]",
)
@click.option(
    "--cors-origins",
    metavar="LIST",
    help='Origins that may call the REST API from a browser, separated by commas, or "*" for all.',
)
@click.option(
    "--trusted-proxies",
    metavar="LIST",
    help="Networks of proxies whose X-Forwarded-For names the client, separated by commas.",
)
def serve(**given: Any) -> None:
    """Run the server until SIGINT or SIGTERM."""
    settings = config.load(given)
    with _counting_together(settings.workers):
        if not _serve(settings):
            sys.exit(1)


@contextlib.contextmanager
def _counting_together(workers: int) -> Iterator[None]:
    """The directory in which several workers count, before the module that counts is imported."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="spanloom-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        yield


def _serve(settings: config.Settings) -> bool:
    from spanloom import app, logs, serving

    logs.configure_logging(settings)

    def started(server: app.Started) -> None:
        scheme = "https" if settings.tls_certificate else "http"
        url = f"{scheme}://{server.http_address}"
        click.echo(f"spanloom listens: gRPC {server.grpc_address}, HTTP {server.http_address}")
        if settings.tls_certificate:
            clients = "with certificates only" if settings.tls_client_ca else "any"
            click.echo(f"TLS: {settings.tls_certificate}, clients: {clients}")
        click.echo(f"database: {without_password(settings.database)}")
        click.echo(f"web page: {_page(server, url)}")
        if settings.no_auth:
            click.echo(
                "authentication is off (--no-auth): every process on this machine has full access"
            )
            click.echo(_TRY.format(url=url, key=""))
        if server.first_key:
            header = f" -H 'Authorization: Bearer {server.first_key}'"
            click.echo(f"first key (instance, admin), shown this once: {server.first_key}")
            click.echo(_TRY.format(url=url, key=header))
        sys.stdout.flush()

    return serving.serve(settings, started)


def _page(server: Any, url: str) -> str:
    """The page's address; with a link token, what signs a person in once, within ten minutes."""
    from spanloom.server.ui.files import is_built

    if not is_built():
        return "not built; `make ui` builds it"
    signed_in = f"login#{server.link_token}" if server.link_token else ""
    return f"{url}/ui/{signed_in}"


_TRY = """\
try it:
  curl {url}/monitor/trace{key} \\
    -H 'Content-Type: application/json' \\
    -d '{{"featureSlug": "qa-chatbot", "input": "Hi", "output": "Hello"}}'"""
