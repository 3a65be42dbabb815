"""posthog: a thread that sends batches of 100 across users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from contenders.common import Contender, Send, Target
from kit.loads import Row

_QUEUE = 1_000_000  # a full queue drops events


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Send]:
    import posthog

    client = posthog.Posthog("key", host=target.url, max_queue_size=_QUEUE)

    async def send(rows: Sequence[Row]) -> None:
        for user, name, properties in rows:
            client.capture(name, distinct_id=user, properties=properties)
        client.flush(timeout_seconds=None)

    yield send
    client.shutdown()


CLIENT = Contender(label="posthog", kind="vendor", open=_open, cap=50_000)
