"""mixpanel: its buffered consumer sends batches of 50 across users, in the caller's thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from contenders.common import Contender, Send, Target
from kit.loads import Row


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Send]:
    import mixpanel

    consumer = mixpanel.BufferedConsumer(events_url=f"{target.url}/mixpanel/track")
    client = mixpanel.Mixpanel("token", consumer=consumer)

    async def send(rows: Sequence[Row]) -> None:
        for user, name, properties in rows:
            client.track(user, name, properties)
        consumer.flush()

    yield send


BUFFERED = Contender(label="mixpanel", kind="vendor", open=_open, cap=50_000)
