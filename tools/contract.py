"""Generates src/spanloom/v1 from proto/ and checks the contract.

`python tools/contract.py generate` writes the Python code; `python tools/contract.py check` has
buf look at style, comments and compatibility, and tells whether the committed code is what the
proto files say.

The google/api files come from the installed googleapis-common-protos. buf only knows its registry
as a place to find them, so protoc compiles the files and buf is handed the compiled image.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "src" / "spanloom" / "v1"
INSTALLED = sysconfig.get_path("purelib")
# buf and protoc's plugins stand beside the Python that runs this.
ENVIRONMENT = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"}
INIT = '"""Generated from proto/spanloom/v1 by `make generate`; do not edit."""\n'


def protoc(proto: Path, *arguments: str, suffix: str = ".proto") -> None:
    """Runs protoc on the files under `proto` whose names end in `suffix`."""
    files = sorted(str(file) for file in proto.rglob(f"*{suffix}"))
    run(
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"-I{INSTALLED}"),
        *arguments,
        *files,
    )


def run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True)


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True)


def image(proto: Path, out: Path) -> str:
    """Compiles `proto` to a FileDescriptorSet that holds its imports and comments."""
    protoc(proto, "--include_imports", "--include_source_info", f"-o{out}")
    return str(out)


def write_code(out: Path) -> Path:
    """Writes the Python code of the contract under `out` and returns its package directory."""
    protoc(PROTO, f"--python_out={out}", f"--mypy_out=quiet:{out}")
    services = (f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}")
    protoc(PROTO, *services, suffix="_service.proto")
    package = out / "spanloom" / "v1"
    (package / "__init__.py").write_text(INIT)
    return package


def generate(scratch: Path) -> None:
    package = write_code(scratch)
    shutil.rmtree(GENERATED, ignore_errors=True)
    shutil.copytree(package, GENERATED)


def check(scratch: Path) -> None:
    run("buf", "format", "proto", "--diff", "--exit-code")
    new = image(PROTO, scratch / "new.binpb")
    run("buf", "lint", new, "--path", "spanloom")
    if before := earlier(scratch):
        old = image(before, scratch / "old.binpb")
        run("buf", "breaking", new, "--against", old, "--path", "spanloom")
    if stale := differing(write_code(scratch)):
        sys.exit(f"src/spanloom/v1 is not what proto/ says: {', '.join(stale)}; run make generate")


def earlier(scratch: Path) -> Path | None:
    """Unpacks the proto/ to stay compatible with, or None where there is none.

    That is main's at the point where this work left it; when this work is main itself, the one
    before the latest commit.
    """
    for main in ("origin/main", "main", "HEAD"):
        if not git("rev-parse", "--verify", "--quiet", main).returncode:
            break
    base = git("merge-base", main, "HEAD").stdout.decode().strip()
    head = git("rev-parse", "HEAD").stdout.decode().strip()
    if base == head and not git("diff", "--quiet", "HEAD", "--", "proto").returncode:
        base = "HEAD~1"
    archive = git("archive", base, "proto")
    if archive.returncode:
        return None
    subprocess.run(("tar", "-x", "-C", scratch), input=archive.stdout, check=True)
    return scratch / "proto"


def differing(package: Path) -> list[str]:
    """Names the files that stand in only one of `package` and the committed code, or differ."""
    names = {
        file.name
        for directory in (package, GENERATED)
        for file in directory.glob("*.py*")
        if file.is_file()
    }
    _, changed, absent = filecmp.cmpfiles(package, GENERATED, names, shallow=False)
    return sorted(changed + absent)


COMMANDS: dict[str, Callable[[Path], None]] = {"generate": generate, "check": check}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(COMMANDS)}")
    with TemporaryDirectory() as directory:
        try:
            COMMANDS[sys.argv[1]](Path(directory))
        except subprocess.CalledProcessError as error:
            # The command has said on stderr what is wrong.
            sys.exit(error.returncode)
