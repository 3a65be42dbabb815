"""segment-analytics-python and rudder-sdk-python: one descends from the other, so they are driven alike."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from contenders.common import Contender, Send, Target
from kit.loads import Row

_QUEUE = 1_000_000  # a full queue drops events


@asynccontextmanager
async def _open(target: Target, package: str) -> AsyncIterator[Send]:
    failures: list[Exception] = []

    def failed(error: Exception, _batch: Any) -> None:
        failures.append(error)

    client = importlib.import_module(package).Client("key", host=target.url, max_queue_size=_QUEUE, on_error=failed)

    async def send(rows: Sequence[Row]) -> None:
        for user, name, properties in rows:
            client.track(user, name, properties)
        client.flush()
        if failures:
            raise failures[0]

    yield send
    client.join()


SEGMENT = Contender(
    label="segment-analytics-python", kind="vendor", open=partial(_open, package="segment.analytics.client"), cap=50_000
)
RUDDER = Contender(
    label="rudder-sdk-python", kind="vendor", open=partial(_open, package="rudderstack.analytics.client"), cap=50_000
)
