"""PostgreSQL: pools, tables, migrations, roles, checks."""
