"""Commands that work on a database and never through a server: what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from spanloom import config

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def database_option(command: F) -> F:
    return click.option(
        "--database",
        metavar="URL",
        help="sqlite:///FILE or postgresql+psycopg://... [default: sqlite:///spanloom.db]",
    )(command)


def with_store(
    database: str | None, use: Callable[[Any], Coroutine[Any, Any, T]], *, migrate: bool = False
) -> T:
    """Use the store.

    Without `migrate` no database is created or upgraded: reading a mistyped file must not
    create it.
    """
    from spanloom.adapters.restore import restore
    from spanloom.store.store import Store

    settings = config.load({"database": database})

    async def run() -> T:
        store = await Store.open(
            settings.database,
            control_url=settings.control_database,
            restore=restore,
            migrate=migrate,
        )
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def without_password(url: str) -> str:
    """The URL as it may be printed."""
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    if not at:
        return url
    return f"{scheme}{separator}{login.partition(':')[0]}:***@{host}"
