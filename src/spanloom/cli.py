"""The command line: the commands by name, how errors are printed, and misspelt settings.

Every option of `spanloom serve` is also a setting `SPANLOOM_<NAME>`. A command is in a module of
`spanloom.commands`, which is loaded when it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import click

from spanloom import config
from spanloom.errors import SetupError, SpanloomError

# The module of each command.
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "serve": "serve",
        "traces": "traces",
        "sessions": "sessions",
        "search": "search",
        "chat": "chat",
        "spans": "spans",
        "span": "spans",
        "usage": "usage",
        "agents": "usage",
        "feedback": "feedback",
        "tail": "tail",
        "export": "transfer",
        "import": "transfer",
        "delete": "delete",
        "projects": "projects",
        "keys": "keys",
        "migrate": "database",
        "migrate-data": "migrate_data",
        "demo": "demo",
        "backup": "backup",
        "restore": "backup",
        "maintain": "database",
        "rederive": "database",
        "sql": "database",
        "skill": "skill",
    }
)
_FUNCTIONS: Final = {
    "export": "export_spans",
    "import": "import_spans",
    "migrate-data": "migrate_data",
}


class _Commands(click.Group):
    """The commands in the order above, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"spanloom.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, _FUNCTIONS.get(cmd_name, cmd_name))
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanloom", prog_name="spanloom")
def cli() -> None:
    """Store and read what GenAI applications do: traces, events, sessions, agent chats."""
    for line in config.misspelt(os.environ):
        click.echo(f"spanloom: {line}", err=True)


def main() -> None:
    """The entry point. An error is a line on standard error; the status is 1, or 2 for usage."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.UsageError as error:
        if error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        _fail(error.format_message(), status=2)
    except click.Abort:
        _fail("stopped", status=130)
    except click.ClickException as error:
        _fail(error.format_message(), status=error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe has ended; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (SetupError, SpanloomError) as error:
        _fail(f"{error}{_cause(error)}")
    except Exception as error:
        said = _call_error(error)
        if said is None:
            raise
        _fail(said)


def _fail(message: str, *, status: int = 1) -> None:
    click.echo(f"spanloom: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _call_error(error: Exception) -> str | None:
    """The text for a call that failed; None for any other error, without loading gRPC for it."""
    errors: Any = sys.modules.get("spanloom.client.errors")
    if errors is None or not isinstance(error, errors.CallError):
        return None
    if error.code == "UNAVAILABLE" and not error.reason:
        return (
            f"the server cannot be reached: {error}; --url is the address of gRPC,"
            " such as http://127.0.0.1:4317"
        )
    request = f" (request {error.request_id})" if error.request_id else ""
    return f"{error}{request}"


def _cause(error: Exception) -> str:
    """The database's own text, if the error comes from there: whoever runs the program may know."""
    if error.__cause__ is None:
        return ""
    # SQLAlchemy wraps the driver's.
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return f": {cause}"
