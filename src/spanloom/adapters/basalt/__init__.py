"""Basalt's shapes: traces with logs (docs/contracts/traces.md)."""
