"""The durable storage: a store's messages, journal and holders in a SQLite file or a PostgreSQL database.

    from fsm.store.sql import Database, JournalFollower, Keep, read_journal
"""

from __future__ import annotations

try:
    import sqlalchemy  # noqa: F401 - is it installed?
except ModuleNotFoundError as missing:
    from fsm.install import install_command

    problem = f"a store in a database needs SQLAlchemy: {install_command('store')}"
    raise ModuleNotFoundError(problem, name=missing.name) from None

from fsm.store.sql.database import Database
from fsm.store.sql.journal import JournalFollower, Keep, read_journal

__all__ = ["Database", "JournalFollower", "Keep", "read_journal"]
