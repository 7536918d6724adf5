"""What Alembic runs: the steps in `versions/`, on the connection (and in the transaction) that
`migrate` hands over."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # Both databases can undo CREATE TABLE: a step that fails leaves nothing behind.
    transactional_ddl=True,
)
context.run_migrations()
