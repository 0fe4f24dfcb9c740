"""Alembic runs this file; `persona_ray.store.open` hands it the connection to migrate."""

from alembic import context

from persona_ray.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
