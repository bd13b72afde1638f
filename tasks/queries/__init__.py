"""SQL over runs: a view per table, the documented views and macros of ``docs/sql.md``."""

from tracemill.tasks.queries.connection import connect

__all__ = ["connect"]
