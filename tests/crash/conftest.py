"""The private PostgreSQL server of the store's tests, also here."""

from __future__ import annotations

from tests.store.conftest import server as server
