"""The evaluators: pure functions from what a program did to a judgement of it. `kinds.py` names them all."""
