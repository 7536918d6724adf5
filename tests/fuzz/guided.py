"""One target under atheris, which changes input until it takes new branches of Spanloom's code:
`python -m tests.fuzz.guided NAME`, then arguments of libFuzzer.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["spanloom"]):
    from tests.fuzz.targets import REFUSALS, TARGETS


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    program, name, *arguments = sys.argv
    target = TARGETS[name]

    def once(data: bytes) -> None:
        with contextlib.suppress(*REFUSALS):
            target(data)

    atheris.Setup([program, *arguments], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
