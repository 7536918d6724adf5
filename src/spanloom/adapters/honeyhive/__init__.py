"""HoneyHive's shapes: events and sessions (docs/contracts/events.md)."""
