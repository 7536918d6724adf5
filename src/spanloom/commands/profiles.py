"""The configuration file: servers that the commands use, by name.

`~/.config/spanloom/config.toml`, or the file that `SPANLOOM_CONFIG` names:

    [profiles.default]
    url = "https://spanloom.example:4317"
    key = "sl_..."
    project = "my-app"
    ca = "/etc/spanloom/ca.pem"
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from spanloom.errors import SetupError

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a server is, with which key, and files for TLS; "" for what is not given."""

    url: str = ""
    key: str = field(default="", repr=False)
    project: str = ""
    ca: str = ""
    client_certificate: str = ""
    client_key: str = ""


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the configuration file, whether it exists or not."""
    if named := environ.get("SPANLOOM_CONFIG"):
        return Path(named)
    home = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "spanloom" / "config.toml"


def profile(name: str | None, environ: Mapping[str, str] = os.environ) -> Profile:
    """A profile of the configuration file; an empty one if no name is given and there is none.

    Raises:
        SetupError: There is no such profile, or the file is not as this module says.
    """
    file = config_file(environ)
    try:
        held = tomllib.loads(file.read_text())
    except FileNotFoundError:
        if name:
            raise SetupError(f"there is no profile {name!r}: {file} does not exist") from None
        return Profile()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"{file} cannot be read: {error}") from None
    profiles = _table(held, ("profiles",), f"{file}:").get("profiles", {})
    if not isinstance(profiles, dict):
        raise SetupError(f"{file}: profiles must be a table")
    found = profiles.get(name or DEFAULT)
    if found is None:
        if name:
            raise SetupError(f"{file} has no profile {name!r}{near(name, profiles)}")
        return Profile()
    names = [field.name for field in fields(Profile)]
    values = _table(found, names, f"{file}: profiles.{name or DEFAULT}")
    return Profile(**{key: str(value) for key, value in values.items()})


def near(name: str, names: object) -> str:
    """A question for the name that was perhaps meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), 1)  # type: ignore[call-overload]
    return f"; did you mean {close[0]!r}?" if close else ""


def _table(found: object, names: tuple[str, ...] | list[str], where: str) -> dict[str, object]:
    if not isinstance(found, dict):
        raise SetupError(f"{where} must be a table")
    for name in found:
        if name not in names:
            raise SetupError(f"{where} has no setting {name!r}{near(name, names)}")
    return found
