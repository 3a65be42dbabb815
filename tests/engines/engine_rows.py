"""Real purchases as rows of an events file, as many as are wanted, in the order of their time.

The rows have no `event_log_id`: what is shown here is that ids are the same in every run.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import os
from collections.abc import Iterator
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


def rows(users: int, times: int) -> Iterator[dict[str, Any]]:
    """All purchases `users` times by other customers, and all of that `times` times, one after the other."""
    purchases = base()
    for time in range(times):
        for number, (customer, moment, cds, dollars) in enumerate(purchases):
            for user in range(users):
                yield {
                    "identity": {"external_id": f"{customer}-{user}"},
                    "event_name": "df_purchase",
                    "event_datetime": (moment + time * SPAN).isoformat(),
                    "event_properties": {
                        "df_order_id": f"{time}-{number}-{user}",
                        "df_total_purchase_amount": dollars,
                    },
                    "event_items": [{"df_item_id": "cd", "df_item_name": "CD", "df_quantity": cds}],
                }


def write(path: Path, users: int, times: int) -> int:
    """Write the rows as JSON Lines; returns how many there are."""
    count = 0
    with path.open("wb") as file:
        for row in rows(users, times):
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--users", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    chosen = parser.parse_args()
    print(write(chosen.path, chosen.users, chosen.times))  # noqa: T201 - a script
