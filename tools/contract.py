"""Generates what follows from proto/ and checks the contract.

`python tools/contract.py generate` writes the Python code (src/spanloom/v1), docs/api.md and the
comments that the server shows (src/spanloom/server/http/comments.json).
`python tools/contract.py check` has buf check style, comments and compatibility, and fails if the
committed code, page or comments are not what the proto files say. `python tools/contract.py
googleapis` writes only the second module of buf's workspace, so that `buf build` and `buf generate`
need no network.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "src" / "spanloom" / "v1"
# What tools/api_docs.py prints of the compiled contract, and where it is kept.
PRINTED = {
    "page": ROOT / "docs" / "api.md",
    "comments": ROOT / "src" / "spanloom" / "server" / "http" / "comments.json",
}
GOOGLEAPIS = Path("third_party", "googleapis")
INSTALLED = Path(sysconfig.get_path("purelib"))
# What the contract imports, and the details of errors, which some languages have no package for.
GOOGLE = {
    "api": ("annotations", "field_behavior", "http", "httpbody"),
    "rpc": ("error_details", "status"),
}
# Compatibility is promised from the commit that first has this page.
PROMISE = "docs/stability.md"
ENVIRONMENT = {
    **os.environ,
    # buf and protoc's plugins are beside the Python that runs this.
    "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
    # The generated code of this checkout, wherever spanloom is installed from.
    "PYTHONPATH": str(ROOT / "src"),
}
INIT = '"""Generated from proto/spanloom/v1 by `make generate`; do not edit."""\n'


def protoc(*arguments: str, suffix: str = ".proto") -> None:
    """Runs protoc on the proto files whose names end in `suffix`."""
    files = sorted(str(file) for file in PROTO.rglob(f"*{suffix}"))
    command = (sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{INSTALLED}")
    run(*command, *arguments, *files)


def run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True)


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True)


def googleapis(workspace: Path) -> None:
    """Writes the files of googleapis that clients need, as a module of buf's workspace."""
    for package, names in GOOGLE.items():
        source, target = (root / "google" / package for root in (INSTALLED, workspace / GOOGLEAPIS))
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(source / f"{name}.proto", target / f"{name}.proto")


def image(workspace: Path, out: Path) -> Path:
    """Compiles a workspace, with imports and comments, to the FileDescriptorSet `out`."""
    run("buf", "build", str(workspace), "-o", str(out))
    return out


def printed(what: str, descriptors: Path) -> str:
    command = (sys.executable, "tools/api_docs.py", what, str(descriptors))
    found = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True
    )
    return found.stdout


def write_code(out: Path) -> Path:
    """Writes the Python code of the contract under `out` and returns its package directory."""
    protoc(f"--python_out={out}", f"--mypy_out=quiet:{out}")
    protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", suffix="_service.proto")
    package = out / "spanloom" / "v1"
    (package / "__init__.py").write_text(INIT)
    return package


def generate(scratch: Path) -> None:
    googleapis(ROOT)
    package = write_code(scratch)
    shutil.rmtree(GENERATED, ignore_errors=True)
    shutil.copytree(package, GENERATED)
    compiled = image(ROOT, scratch / "new.binpb")
    for what, file in PRINTED.items():
        file.write_text(printed(what, compiled))


def check(scratch: Path) -> None:
    googleapis(ROOT)
    run("buf", "format", "proto", "--diff", "--exit-code")
    run("buf", "lint")
    new = image(ROOT, scratch / "new.binpb")
    for commit in promised():
        check_compatible(baseline(commit, scratch / commit), new)
    stale = [f"src/spanloom/v1/{name}" for name in differing(write_code(scratch))]
    for what, file in PRINTED.items():
        if not file.is_file() or file.read_text() != printed(what, new):
            stale.append(str(file.relative_to(ROOT)))
    if stale:
        sys.exit(f"not what proto/ says: {', '.join(stale)}; run make generate")


def check_compatible(old: Path, new: Path) -> None:
    """Fails if the contract (`new`, an image) breaks clients of the workspace `old`."""
    run("buf", "breaking", "--against", str(old))
    run(sys.executable, "tools/rest_paths.py", str(image(old, old / "image.binpb")), str(new))


def promised() -> Iterator[str]:
    """The commits to stay compatible with: main, where this work left it, and the last release.

    For work on main itself, the commit before. A commit without the page of the promise is skipped.
    """
    for main in ("origin/main", "main", "HEAD"):
        if not git("rev-parse", "--verify", "--quiet", main).returncode:
            break
    base = git("merge-base", main, "HEAD").stdout.decode().strip()
    head = git("rev-parse", "HEAD").stdout.decode().strip()
    if base == head and not git("diff", "--quiet", "HEAD", "--", "proto").returncode:
        base = "HEAD~1"
    tag = git("describe", "--tags", "--abbrev=0", "--match", "v*").stdout.decode().strip()
    for commit in (base, tag):
        if commit and not git("cat-file", "-e", f"{commit}:{PROMISE}").returncode:
            yield commit


def baseline(commit: str, workspace: Path) -> Path:
    """Unpacks the proto files of a commit into a workspace."""
    archive = git("archive", commit, "proto")
    archive.check_returncode()
    workspace.mkdir(parents=True)
    subprocess.run(("tar", "-x", "-C", workspace), input=archive.stdout, check=True)
    shutil.copyfile(ROOT / "buf.yaml", workspace / "buf.yaml")
    googleapis(workspace)
    return workspace


def differing(package: Path) -> list[str]:
    """Names the files that are in only one of `package` and the committed code, or differ."""
    names = {
        file.name
        for directory in (package, GENERATED)
        for file in directory.glob("*.py*")
        if file.is_file()
    }
    _, changed, absent = filecmp.cmpfiles(package, GENERATED, names, shallow=False)
    return sorted(changed + absent)


COMMANDS: dict[str, Callable[[Path], None]] = {
    "generate": generate,
    "check": check,
    "googleapis": lambda _: googleapis(ROOT),
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(COMMANDS)}")
    with TemporaryDirectory() as directory:
        try:
            COMMANDS[sys.argv[1]](Path(directory))
        except subprocess.CalledProcessError as error:
            # The command has said on stderr what is wrong.
            sys.exit(error.returncode)
