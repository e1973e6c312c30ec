"""Alembic's entry: migrates on the connection that `tasks.ledger.migrate` hands over."""

from alembic import context

from tasks.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
