"""The loads: lists of (user, name, properties), the same for everybody, made before anything is measured."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

EVENT_NAME = "df_purchase"  # the sink counts events by it, so no other value may hold it
PURCHASES = 69_659
MOST_PER_REQUEST = 100
_WAYS = ("card", "bank", "phone", "voucher")

Row: TypeAlias = "tuple[str, str, dict[str, Any]]"


class Load(NamedTuple):
    """One load.

    Attributes:
        about: what it is, for the page.
        make: gives the rows, that many of them.
        events: how many in a whole run.
    """

    about: str
    make: Callable[[int], list[Row]]
    events: int


def minimum_requests(rows: Iterable[Row]) -> int:
    """Return the fewest requests that can carry these rows, each of one user and at most 100 events."""
    return sum(-(-count // MOST_PER_REQUEST) for count in Counter(user for user, _, _ in rows).values())


def _row(user: int, number: int) -> Row:
    properties = {
        "df_order_id": f"O-{number:08}",
        "df_total_purchase_amount": 9.95 + number % 4000 / 100,
        "df_payment_method": _WAYS[number & 3],
        "quantity": 1 + number % 5,
    }
    return f"user-{user:07}", EVENT_NAME, properties


def users_in_turn(users: int) -> Callable[[int], list[Row]]:
    """Events of so many users, as many of each, shuffled."""

    def make(events: int) -> list[Row]:
        order = [number % users for number in range(events)]
        random.Random(1).shuffle(order)
        return [_row(user, number) for number, user in enumerate(order)]

    return make


def _one_each(events: int) -> list[Row]:
    return [_row(number, number) for number in range(events)]


def _zipf(events: int) -> list[Row]:
    users = 100_000
    weights = list(itertools.accumulate(1 / rank for rank in range(1, users + 1)))
    chosen = random.Random(2).choices(range(users), cum_weights=weights, k=events)
    return [_row(user, number) for number, user in enumerate(chosen)]


def _master(path: Path) -> Iterator[tuple[str, int, float]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="ascii") as file:
        for line in file:
            customer, *_, cds, dollars = line.split()
            if customer != "customer_id":
                yield customer, int(cds), float(dollars)


def _sample() -> Iterator[tuple[str, int, float]]:
    packed = files("dfinery_async").joinpath("_data", "cdnow_sample.csv.gz").read_bytes()
    for row in csv.DictReader(gzip.decompress(packed).decode("ascii").splitlines()):
        yield row["customer_id"], int(row["cds"]), float(row["dollars"])


def _replicated(sample: Sequence[tuple[str, int, float]]) -> Iterator[tuple[str, int, float]]:
    for copy in itertools.count():
        for customer, cds, dollars in sample:
            yield f"{customer}-{copy}", cds, dollars


def _purchases(events: int) -> list[Row]:
    path = os.environ.get("DFINERY_CDNOW")
    source = _master(Path(path)) if path else _replicated(list(_sample()))
    return [
        (
            customer,
            EVENT_NAME,
            {"df_order_id": f"cdnow-{number:05}", "df_total_purchase_amount": dollars, "quantity": cds},
        )
        for number, (customer, cds, dollars) in enumerate(itertools.islice(source, events), start=1)
    ]


def _about_purchases() -> str:
    if os.environ.get("DFINERY_CDNOW"):
        return "the 69,659 CD purchases of 23,570 customers (CDNOW)"
    return "69,659 CD purchases: the package's 1/10 sample of CDNOW, ten times with other customers each time"


LOADS = {
    "a": Load("200,000 events of 1,000 users", users_in_turn(1_000), 200_000),
    "b": Load("50,000 events of 50,000 users", _one_each, 50_000),
    "c": Load(_about_purchases(), _purchases, PURCHASES),
    "e": Load("200,000 events, users by Zipf's law out of 100,000", _zipf, 200_000),
}
