"""The cases of micro.py, run by pyperf: it starts this script again for each of its processes."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from random import Random

import pyperf

from dfinery_async import PacingConfig, RetryConfig
from dfinery_async.core.batching import cut_events
from dfinery_async.core.caps import Caps
from dfinery_async.core.codec import encode_event, encode_identity, events_body
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import read_headers
from dfinery_async.models import Event, Identity
from dfinery_async.runtime.intake import event_receipt
from dfinery_async.runtime.pacer import Pacer, make_pacers
from dfinery_async.runtime.tasks import TaskOwner

ONLY = "DFINERY_BENCH_ONLY"  # parts to run, as micro.py hands them on
HUNDRED = 100
TAKES = 1000
MOMENT = dt.datetime(2025, 3, 2, 4, 11, 9, 120_000, tzinfo=dt.UTC)
PROPERTIES = {
    "df_total_purchase_amount": 29.33,
    "df_delivery_charge": 0.0,
    "df_discount": 1.5,
    "df_payment_method": "CreditCard",
    "order_id": "00000001",
}
ITEM = {
    "df_item_id": "cd-0042",
    "df_item_name": "A record with a Korean name: 음반",
    "df_price": 14.665,
    "df_quantity": 2,
    "df_category1": "music",
}
HEADERS = [
    ("content-type", "application/json;charset=UTF-8"),
    ("x-ratelimit-limit", "1m"),
    ("x-ratelimit-remaining", "999999"),
    ("x-ratelimit-reset", "1740888720000"),
]


def bare() -> Event:
    return Event("df_login")


def purchase() -> Event:
    return Event("df_purchase", properties=PROPERTIES, items=[ITEM], datetime=MOMENT)


def codec_cases() -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is called, and how many events, requests or replies one call handles."""
    event, hundred = purchase(), [Event("df_login") for _ in range(HUNDRED)]
    encoded = [encode_event(purchase()) for _ in range(HUNDRED)]
    identity = encode_identity(Identity(external_id="u-0001"))
    return {
        "codec: make an event of a name alone": (bare, 1),
        "codec: make a purchase, 5 properties and an item of 5": (purchase, 1),
        "codec: encode that purchase": (lambda: encode_event(event), 1),
        "codec: join 100 events into a body": (lambda: events_body(identity, encoded), HUNDRED),
        "grouping: encode and cut 100 events of a user": (lambda: list(cut_events(identity, hundred)), HUNDRED),
    }


def quota_cases() -> dict[str, tuple[Callable[[], object], int]]:
    """Return the same for what each reply's quota costs."""
    window = QuotaWindow(10**9, 60.0)
    seen = read_headers(HEADERS, 1740888700.0)
    return {
        "pacing: read the quota headers of a reply": (lambda: read_headers(HEADERS, 1740888700.0), 1),
        "pacing: take them into the window": (lambda: window.observe(seen, 0.0), 1),
    }


async def answered(loops: int) -> float:
    """Pace a thousand calls at a time where the quota is wide open, from the leave to the reply; seconds for all."""
    tasks = TaskOwner()
    pacer: Pacer = make_pacers(PacingConfig(events=10**9), RetryConfig(), tasks, Random(1))["events"]
    loop = asyncio.get_running_loop()
    reset = ("x-ratelimit-reset", "3999999999")
    replies = [[*HEADERS[:2], ("x-ratelimit-remaining", str(10**9 - call)), reset] for call in range(TAKES)]
    start = pyperf.perf_counter()
    for _ in range(loops):
        for reply in replies:
            if not pacer.try_take():
                await pacer.take(loop.time() + 60)
            pacer.observe(reply, throttled=False)
    took: float = pyperf.perf_counter() - start
    await tasks.aclose()
    return took


async def paced(loops: int) -> float:
    """Take leave for a thousand calls at a time where the quota is wide open; seconds for all."""
    tasks = TaskOwner()
    pacer: Pacer = make_pacers(PacingConfig(events=10**9), RetryConfig(), tasks, Random(1))["events"]
    pacer.observe(HEADERS[:1], throttled=False)  # before the first answer calls go one by one
    loop = asyncio.get_running_loop()
    start = pyperf.perf_counter()
    for _ in range(loops * TAKES):
        await pacer.take(loop.time() + 60)
    took: float = pyperf.perf_counter() - start
    await tasks.aclose()
    return took


def grouped(users: int) -> tuple[Callable[[], object], int]:
    """Put works of so many users into lanes and take them out again as requests."""
    works = [event_receipt(f"u-{number % users}", Event("df_login"), 0.0) for number in range(TAKES)]

    def group() -> None:
        lanes = Lanes(Caps())
        for key, work in works:
            lanes.add(key, work, 0.0)
        while (batch := lanes.take("events", 0.0)) is not None:
            lanes.settle(batch, 0.0)

    return group, TAKES


def main() -> None:
    only = [name for name in os.environ.get(ONLY, "").split(",") if name]
    cases = {
        **codec_cases(),
        "grouping: an event of 10 users into a request and out": grouped(10),
        "grouping: an event of 1,000 users, each a request": grouped(TAKES),
        **quota_cases(),
    }
    runner = pyperf.Runner()
    for name, (call, count) in cases.items():
        if not only or name.partition(":")[0] in only:
            runner.bench_func(name, call, inner_loops=count)
    if not only or "pacing" in only:
        runner.bench_time_func("pacing: leave for a call", lambda loops: asyncio.run(paced(loops)), inner_loops=TAKES)
        whole = "pacing: a call from its leave to its reply"
        runner.bench_time_func(whole, lambda loops: asyncio.run(answered(loops)), inner_loops=TAKES)


if __name__ == "__main__":
    main()
