"""What an operator runs beside a server: export and import of a store."""
