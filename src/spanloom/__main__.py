"""`python -m spanloom` is the command `spanloom`."""

from spanloom.cli import main

main()
