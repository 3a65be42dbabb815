"""How long it takes to check and encode events: the part of the client's work that grows with every event.

    python benchmarks/codec.py            prints a Markdown table
    python benchmarks/codec.py --write    also keeps it in benchmarks/results, with the date and the machine's shape

No network, no event loop. Each figure is the median of many rounds, with the fastest and the slowest tenth beside it.
"""

from __future__ import annotations

import datetime as dt
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dfinery_async.core.codec import encode_event, encode_identity, events_body
from dfinery_async.models import Event, Identity

ROUNDS = 200
PER_ROUND = 500
EVENTS_PER_BODY = 100
MOMENT = dt.datetime(2025, 3, 2, 4, 11, 9, 120_000, tzinfo=dt.UTC)
PURCHASE = {
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


def bare() -> Event:
    return Event("df_login")


def purchase() -> Event:
    return Event("df_purchase", properties=PURCHASE, items=[ITEM], datetime=MOMENT)


def cases() -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured: a name, a call, and the events that one call handles."""
    event = purchase()
    encoded = [encode_event(purchase()) for _ in range(EVENTS_PER_BODY)]
    identity = encode_identity(Identity(external_id="u-0001"))
    return {
        "make an event of a name alone": (bare, 1),
        "make a purchase, 5 properties and an item of 5": (purchase, 1),
        "encode that purchase": (lambda: encode_event(event), 1),
        "make and encode it": (lambda: encode_event(purchase()), 1),
        f"join {EVENTS_PER_BODY} of them into a body": (lambda: events_body(identity, encoded), EVENTS_PER_BODY),
    }


def measure(call: Callable[[], object]) -> list[float]:
    """Return the seconds that one call took in each round."""
    for _ in range(PER_ROUND):
        call()
    rounds = range(PER_ROUND)
    seconds = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in rounds:
                call()
            seconds.append((time.perf_counter() - start) / PER_ROUND)
    finally:
        gc.enable()
    return seconds


def table() -> str:
    lines = ["| what | median, µs | 10 % to 90 %, µs | events a second, one core |", "|---|---:|---:|---:|"]
    for name, (call, events) in cases().items():
        seconds = measure(call)
        tenths = [f"{tenth * 1e6:.2f}" for tenth in statistics.quantiles(seconds, n=10)]
        median = statistics.median(seconds)
        spread = f"{tenths[0]} to {tenths[-1]}"
        lines.append(f"| {name} | {median * 1e6:.2f} | {spread} | {events / median:,.0f} |")
    return "\n".join(lines)


def shape() -> str:
    """Describe the machine as far as a figure depends on it; no names."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}, msgspec {version('msgspec')}"


def main() -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page = f"# Checking and encoding, {today}\n\n`python benchmarks/codec.py` on {shape()}.\n"
    page += f"{ROUNDS} rounds of {PER_ROUND} calls each.\n\n{table()}\n"
    print(page, end="")
    if "--write" in sys.argv[1:]:
        path = Path(__file__).parent / "results" / f"{today}-codec.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
