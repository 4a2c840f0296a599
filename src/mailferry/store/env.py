"""Run by alembic alone, never imported: the versions run on the connection that `upgrade.py` hands over."""

from __future__ import annotations

from alembic import context

from mailferry.store.all_tables import everything

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=everything,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can, once its driver begins the transaction by itself no more
)
context.run_migrations()
