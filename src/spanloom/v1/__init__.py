"""Generated from proto/spanloom/v1 by `make generate`; do not edit."""
