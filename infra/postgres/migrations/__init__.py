"""Alembic's migrations: a folder for each database, and what their environments share."""
