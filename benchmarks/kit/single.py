"""One measurement of latency: single events through an idle client, from the call to the bytes at the far end.

    python -m kit.single '{"contender": "ours", "events": 1000, "url": "http://…", "desk": 1234}'

Both ends read the system's monotonic clock, which all processes share. The far end's waking up is within the figure.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from contenders import CONTENDERS
from contenders.common import Target
from kit.child import answer
from kit.delivery import warm_up_rows
from kit.far_end import ask
from kit.loads import users_in_turn

_GAP = 0.004


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Send one at a time, with gaps."""
    rows = users_in_turn(spec["events"])(spec["events"])
    in_flight = spec["in_flight"]
    async with CONTENDERS[spec["contender"]].open(Target(url=spec["url"], in_flight=in_flight)) as send:
        await send(warm_up_rows(in_flight))
        ask(spec["desk"], "/reset")
        calls = []
        for row in rows:
            await asyncio.sleep(_GAP)
            calls.append(time.perf_counter_ns())
            await send([row])
        stamps, seen = ask(spec["desk"], "/stamps"), ask(spec["desk"], "/stats")
    micros = [(stamp - call) / 1000 for call, stamp in zip(calls, stamps, strict=True)]
    hundredths = statistics.quantiles(micros, n=100)
    return {"events": len(rows), "seen": seen, "p50": hundredths[49], "p99": hundredths[98]}


if __name__ == "__main__":
    answer(measure)
