"""The store, in two contracts: `SpanStore` in spans.py, `ControlStore` in control.py. `Store` in
store.py opens both; sql/ implements them on SQLite and PostgreSQL."""
