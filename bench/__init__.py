"""`python -m bench`: each figure is a ratio against a limit measured in the same run, so that it
means the same anywhere."""
