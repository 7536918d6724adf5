"""Adapters: each translates one wire shape to canonical spans and back. Adapters do not know one another."""
