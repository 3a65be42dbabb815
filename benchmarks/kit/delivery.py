"""One measurement: one contender delivers one load, in this process.

    python -m kit.delivery '{"contender": "ours", "load": "b", "events": 5000, "url": "http://…", "desk": 1234}'

Imports, the load and the first requests, which open the connections, come before the clock starts.
"""

from __future__ import annotations

import gc
from typing import Any

from contenders import CONTENDERS
from contenders.common import Target
from kit.child import Meter, answer
from kit.far_end import ask
from kit.loads import EVENT_NAME, LOADS, Row, minimum_requests, users_in_turn

_WARM_UP_PER_CONNECTION = 4
_FEWEST_WARM_UPS = 400


def rows_of(spec: dict[str, Any]) -> list[Row]:
    """Make the rows that a measurement asks for."""
    make = users_in_turn(spec["users"]) if "users" in spec else LOADS[spec["load"]].make
    return make(spec["events"])


def warm_up_rows(in_flight: int) -> list[Row]:
    """Return enough requests to open every connection."""
    count = max(_FEWEST_WARM_UPS, _WARM_UP_PER_CONNECTION * in_flight)
    return [(f"early-{number:06}", EVENT_NAME, {"quantity": 1}) for number in range(count)]


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Deliver, and return what it took."""
    contender = CONTENDERS[spec["contender"]]
    target = Target(
        url=spec["url"],
        ca=spec.get("ca"),
        in_flight=spec.get("in_flight", 64),
        connections=spec.get("connections", 0),
        producer=spec.get("producer", {}),
    )
    rows = rows_of(spec)
    early = warm_up_rows(max(target.in_flight, target.connections))
    prepare = contender.prepare or list
    work, early_work = prepare(rows), prepare(early)
    meter = Meter()
    async with contender.open(target) as send:
        ask(spec["desk"], "/slow")
        await send(early_work)
        ask(spec["desk"], "/reset")
        gc.collect()
        gc.freeze()  # the load is not what the collector should walk through
        meter.start()
        await send(work)
        took = meter.stop()
        seen = ask(spec["desk"], "/stats")
    return {**took, "events": len(rows), "minimum": minimum_requests(rows), "seen": seen}


if __name__ == "__main__":
    answer(measure)
