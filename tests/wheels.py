"""Builds the package from a copy of its sources, as a release does."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copy_of_sources(target: Path) -> Path:
    """Copies what git knows, and what it would add."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    copied = ("tar", "--create", "--null", "--files-from=-")
    packed = subprocess.run(copied, cwd=ROOT, check=True, input=names, capture_output=True).stdout
    subprocess.run(("tar", "--extract"), cwd=target, check=True, input=packed)
    return target


def build(source: Path, out: Path) -> Path:
    """The wheel, by an isolated build."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    subprocess.run(
        (uv, "build", "--quiet", "--wheel", "--out-dir", out),
        cwd=source,
        check=True,
        env={**os.environ, "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.1"},
    )
    (found,) = out.glob("*.whl")
    return found
