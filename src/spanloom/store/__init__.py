"""The store: one SQL schema over several databases. `Store` in `store.py` is the contract; nothing else leaves this room."""
