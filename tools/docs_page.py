"""Puts Swagger UI into the package, for the page /docs: a release has it, git does not.

`python tools/docs_page.py` fetches one pinned version from npm, compares its digest, and writes the
files that the page needs, with their licenses, to src/spanloom/server/http/swagger_ui.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGE = "swagger-ui-dist@5.35.0"
SHA512 = "U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ=="
FILES = (
    "LICENSE",
    "NOTICE",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)
TARGET = Path(__file__).resolve().parent.parent / "src/spanloom/server/http/swagger_ui"


def install(target: Path) -> None:
    """Write the files to a directory, all or none."""
    with TemporaryDirectory() as scratch:
        # A package is only downloaded: none of its code runs.
        subprocess.run(
            ("npm", "pack", "--silent", "--pack-destination", scratch, PACKAGE),
            cwd=scratch,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [archive] = Path(scratch).glob("*.tgz")
        digest = hashlib.sha512(archive.read_bytes()).digest()
        if base64.b64encode(digest).decode() != SHA512:
            sys.exit(f"{PACKAGE} is not the file that it was: its SHA-512 differs")
        with tarfile.open(archive) as packed:
            contents = {name: packed.extractfile(f"package/{name}") for name in FILES}
            target.mkdir(parents=True, exist_ok=True)
            for name, file in contents.items():
                if file is None:
                    sys.exit(f"{PACKAGE} has no file {name}")
                (target / name).write_bytes(file.read())


if __name__ == "__main__":
    install(TARGET)
