"""One measurement of memory: events that our producer holds while the far end never answers.

python -m kit.pending '{"pending": 10000, "users": 10, "url": "http://…", "desk": 1234, "trace": true}'
"""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from pathlib import Path
from typing import Any

from contenders.common import Target
from contenders.ours import client_of
from dfinery_async import Event
from kit.child import Meter, answer
from kit.far_end import ask
from kit.loads import EVENT_NAME

_FEW = 8
_LOOK_EVERY = 0.02
_EARLY = 100  # their requests go out and stay there, with all that a connection needs


def resident() -> int:
    """Return the resident memory of this process in bytes; 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Track, and return what it took."""
    count, users = spec["pending"], spec["users"]
    target = Target(url=spec["url"], in_flight=_FEW)
    meter = Meter()
    async with (
        client_of(target) as client,
        client.producer(max_pending_events=count + _EARLY, max_pending_bytes=10**11) as producer,
    ):

        async def track(number: int) -> None:
            properties = {
                "df_order_id": f"O-{number:08}",
                "df_total_purchase_amount": 9.95 + number % 4000 / 100,
                "df_payment_method": "card",
                "quantity": 1 + number % 5,
            }
            await producer.track(f"user-{number % users:07}", Event(EVENT_NAME, properties=properties))

        for number in range(_EARLY):
            await track(number)
        while ask(spec["desk"], "/stats")["requests"] < _FEW:  # noqa: ASYNC110 - the far end is another process
            await asyncio.sleep(_LOOK_EVERY)
        if spec["trace"]:
            tracemalloc.start()
        gc.collect()
        before = producer.stats()
        held = resident()
        meter.start()
        for number in range(_EARLY, _EARLY + count):
            await track(number)
        took = meter.stop()
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] if spec["trace"] else 0
        held, after = resident() - held, producer.stats()
        assert after.pending - before.pending == count
        await producer.aclose(timeout=0.01)
    event_bytes = (after.pending_bytes - before.pending_bytes) / count
    return {**took, "pending": count, "users": users, "event_bytes": event_bytes, "traced": traced, "resident": held}


if __name__ == "__main__":
    answer(measure)
