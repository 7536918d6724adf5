"""The commands of `spanloom`: a module for each, which is loaded when its command runs.

Everything that is slow to load (gRPC, the proto files, rich, the server) is imported inside the
functions, so that `--help` and errors of the command line are quick.
"""
