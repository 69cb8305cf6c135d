"""Plans of statements, as PostgreSQL keeps them for parameters it does not know."""

from infra.postgres.engine import Database


async def plan_of(database: Database, statement: str) -> str:
    """Return the plan PostgreSQL keeps for a statement whose parameters it does not know."""
    async with database.connection("explain a statement") as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE explained AS {statement}")
        try:
            count = await connection.fetchval(
                "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'"
            )
            arguments = f"({', '.join(['NULL'] * count)})" if count else ""
            return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE explained{arguments}"))
        finally:
            await connection.execute("DEALLOCATE explained")
