"""Commands of an operator: export and import of a store."""
