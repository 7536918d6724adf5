"""The store on relational databases: SQLite and PostgreSQL."""
