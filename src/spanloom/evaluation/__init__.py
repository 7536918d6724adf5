"""The evaluators: pure functions from what a program did to a result. `kinds.py` lists them."""
