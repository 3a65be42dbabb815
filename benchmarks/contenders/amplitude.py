"""amplitude-analytics: threads that send batches of 200 across users."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from contenders.common import Contender, Send, Target
from kit.loads import Row

_SLICE = 10_000  # it drops events beyond 20,000 that wait
_LOOK_EVERY = 0.002


@asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Send]:
    import amplitude

    codes: list[int] = []  # its threads add to it

    def told(_event: Any, code: int, _message: str | None = None) -> None:
        codes.append(code)

    config = amplitude.Config(server_url=f"{target.url}/amplitude", callback=told)
    client = amplitude.Amplitude("key", configuration=config)

    async def send(rows: Sequence[Row]) -> None:
        codes.clear()
        for start in range(0, len(rows), _SLICE):
            part = rows[start : start + _SLICE]
            for user, name, properties in part:
                client.track(amplitude.BaseEvent(event_type=name, user_id=user, event_properties=properties))
            client.flush()
            while len(codes) < start + len(part):
                time.sleep(_LOOK_EVERY)  # noqa: ASYNC251 - nothing else runs on this loop
        if set(codes) - {200}:
            raise RuntimeError(f"answered {sorted(set(codes))}")

    yield send
    client.shutdown()


CLIENT = Contender(label="amplitude-analytics", kind="vendor", open=_open, cap=50_000)
