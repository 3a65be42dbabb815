"""Measurements of the spool, each in a process of its own.

python -m kit.spooling '{"what": "accepts", "events": 100000, "callers": 100, "url": "http://…", "desk": 1234}'
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from contenders.common import Target
from contenders.ours import client_of
from dfinery_async import Event, SpoolConfig
from dfinery_async.core import codec
from dfinery_async.core.spool_rows import row_of
from dfinery_async.core.work import Work
from dfinery_async.runtime.spool.store import Store
from dfinery_async.runtime.spool.writer import Step
from kit import bare_spool, delivery
from kit.child import Meter, answer
from kit.far_end import ask
from kit.loads import users_in_turn

_PROPERTIES = {"df_item_id": "SKU-0001", "df_price": 9500, "df_quantity": 2, "df_item_name": "mug of one litre, white"}
_WINDOW = 2000  # rows


async def accepts(spec: dict[str, Any]) -> dict[str, Any]:
    """Have many callers track events at the same time, while the far end never answers."""
    calls = spec["events"] // spec["callers"]
    latencies: list[float] = []
    with tempfile.TemporaryDirectory(dir=spec.get("place")) as folder:
        config = SpoolConfig(path=folder, durability=spec.get("durability", "power"))
        async with client_of(Target(url=spec["url"])) as client:
            producer = client.producer(spool=config)
            await producer.flush()

            async def caller(name: str) -> None:
                for _ in range(calls):
                    began = time.perf_counter()
                    await producer.track(name, Event("e", properties=_PROPERTIES))
                    latencies.append(time.perf_counter() - began)

            meter = Meter()
            meter.start()
            await asyncio.gather(*(caller(f"user-{number:04}") for number in range(spec["callers"])))
            took = meter.stop()
            producer.abandon()
    return _accepted(took, latencies)


async def bare_accepts(spec: dict[str, Any]) -> dict[str, Any]:
    """Have as many callers wait for rows of SQLite, with nothing else around them."""
    calls = spec["events"] // spec["callers"]
    with tempfile.TemporaryDirectory(dir=spec.get("place")) as folder:
        meter = Meter()
        meter.start()
        latencies = await bare_spool.accept(
            Path(folder), callers=spec["callers"], calls=calls, durability=spec.get("durability", "power")
        )
        return _accepted(meter.stop(), latencies)


def _accepted(took: dict[str, float], latencies: list[float]) -> dict[str, Any]:
    hundredths = statistics.quantiles(latencies, n=100)
    return {**took, "events": len(latencies), "p50": 1e3 * hundredths[49], "p99": 1e3 * hundredths[98]}


async def load(spec: dict[str, Any]) -> dict[str, Any]:
    """Deliver a load with a spool, without one, or with one for failures."""
    if spec["mode"] is None:
        return await delivery.measure(spec)
    with tempfile.TemporaryDirectory(dir=spec.get("place")) as folder:
        spool = SpoolConfig(path=folder, mode=spec["mode"])
        return await delivery.measure({**spec, "producer": {"spool": spool}})


async def replay(spec: dict[str, Any]) -> dict[str, Any]:
    """Read a backlog in windows, and start a producer on it: when does its first request arrive?"""
    with tempfile.TemporaryDirectory(dir=spec.get("place")) as folder:
        slot = Path(folder) / "slot-000"
        slot.mkdir(0o700)
        binding = f"service at {spec['url']}"
        _fill(slot, binding, spec["events"])
        store = Store(slot, binding)
        began = time.perf_counter()
        store.open()
        opened = time.perf_counter() - began
        count, after = 0, 0
        began = time.perf_counter()
        while units := store.read(after, _WINDOW).units:
            count, after = count + len(units), units[-1].seq
        read = time.perf_counter() - began
        store.close()
        began = time.perf_counter()
        assert count == spec["events"] == bare_spool.read(store.path, _WINDOW)
        bare = time.perf_counter() - began
        ask(spec["desk"], "/reset")
        began = time.perf_counter()
        async with client_of(Target(url=spec["url"])) as client:
            producer = client.producer(spool=folder)
            while not producer.stats().delivered:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.001)
            first = time.perf_counter() - began
            producer.abandon()
    return {"events": count, "open": opened, "read": read, "bare": bare, "first": first}


def _fill(folder: Path, binding: str, count: int) -> None:
    store = Store(folder, binding)
    store.open()
    rows = users_in_turn(1000)(1000)
    keys = [codec.encode_user(user) for user, _, _ in rows]
    payload = codec.encode_event(Event("e", properties=_PROPERTIES))
    work = Work("events", payload, len(payload))
    for start in range(0, count, 1000):
        numbers = range(start + 1, min(start + 1000, count) + 1)
        done = store.commit(Step(rows=[row_of(number, keys[number % 1000], work, store.seed) for number in numbers]))
        assert done.problem is None
    store.close()


_WHAT: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]] = {
    "accepts": accepts,
    "bare accepts": bare_accepts,
    "load": load,
    "replay": replay,
}


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Measure what the spec says."""
    return await _WHAT[spec["what"]](spec)


if __name__ == "__main__":
    answer(measure)
