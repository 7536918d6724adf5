"""Tails: streams that follow the log of changes, all of a process with one reader of the log."""
