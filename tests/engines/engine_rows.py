"""Real purchases as rows of an events file, as many as are wanted, in the order of their time.

The rows have no `event_log_id`: what is shown here is that ids are the same in every run.
"""

from __future__ import annotations

import datetime as dt
import gzip
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from dfinery_async.cli.purchases import read_purchases

SPAN = dt.timedelta(days=600)  # longer than the purchases reach: a copy in time begins after the one before


def base() -> list[tuple[str, dt.datetime, int, float]]:
    """Customer, moment, quantity and price: of the whole file that `DFINERY_CDNOW` names, else of the sample."""
    whole = os.environ.get("DFINERY_CDNOW")
    if whole is None:
        found = [(each.customer, each.moment, each.cds, each.dollars) for each in read_purchases()]
    else:
        lines = (line.split() for line in gzip.decompress(Path(whole).read_bytes()).decode("ascii").splitlines())
        found = [
            (user, dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=dt.UTC), int(cds), float(dollars))
            for user, day, cds, dollars in (line for line in lines if len(line) == 4 and line[1].isdigit())
        ]
    # Days only: a second for each line of the file tells the purchases of one user apart.
    moved = [
        (user, day + dt.timedelta(seconds=number % 86_400), cds, dollars)
        for number, (user, day, cds, dollars) in enumerate(found)
    ]
    return sorted(moved, key=lambda each: each[1])


def rows(users: int, times: int, *, by_user: bool = False) -> Iterator[dict[str, Any]]:
    """All purchases `users` times by other customers, and all of that `times` times, one after the other.

    In the order of their time, as a stream has them, or `by_user` and time, as an export is sorted.
    """
    purchases = list(enumerate(base()))
    if by_user:
        purchases.sort(key=lambda each: each[1][0])  # stable: the order of time stays within a customer
        for _, bought in groupby(purchases, key=lambda each: each[1][0]):
            own = list(bought)
            for user in range(users):
                for time in range(times):
                    yield from (_row(purchase, user, time) for purchase in own)
    else:
        for time in range(times):
            for purchase in purchases:
                yield from (_row(purchase, user, time) for user in range(users))


def _row(purchase: tuple[int, tuple[str, dt.datetime, int, float]], user: int, time: int) -> dict[str, Any]:
    number, (customer, moment, cds, dollars) = purchase
    return {
        "identity": {"external_id": f"{customer}-{user}"},
        "event_name": "df_purchase",
        "event_datetime": (moment + time * SPAN).isoformat(),
        "event_properties": {"df_order_id": f"{time}-{number}-{user}", "df_total_purchase_amount": dollars},
        "event_items": [{"df_item_id": "cd", "df_item_name": "CD", "df_quantity": cds}],
    }


def write(path: Path, users: int, times: int, *, by_user: bool = False) -> int:
    """Write the rows as JSON Lines; returns how many there are."""
    count = 0
    with path.open("wb") as file:
        for row in rows(users, times, by_user=by_user):
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count
