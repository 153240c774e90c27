from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from codin.task.log import PostgresEventLog
from codin.testing.log_conformance import EventLogSuite


class TestPostgres(EventLogSuite):
    @pytest.fixture
    async def log(self, database: str) -> AsyncIterator[PostgresEventLog]:
        log = await PostgresEventLog.open(database)
        yield log
        await log.close()
