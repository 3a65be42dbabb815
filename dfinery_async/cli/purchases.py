"""The purchases of the demo: a sample of real ones, carried by the package."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import uuid
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import msgspec

from dfinery_async.models import Event, Identity

__all__ = ["Purchase", "read_purchases"]

_IDS: Final = uuid.UUID("4c1d7d1e-0a55-5c3b-9a0e-2f6f5a3f7b11")


class Purchase(msgspec.Struct, frozen=True):
    """One line of the sample.

    Attributes:
        log_id: made from the line's number, the same in every run.
        customer: the customer's id in the full set.
        moment: midnight UTC of the day.
        cds: how many.
        dollars: what they cost; some cost nothing.
    """

    log_id: str
    customer: str
    moment: dt.datetime
    cds: int
    dollars: float

    def event(self, number: int) -> tuple[Identity, Event]:
        """Return it as a purchase of one item."""
        return Identity(external_id=self.customer), Event(
            "df_purchase",
            properties={"df_order_id": f"cdnow-{number:05}", "df_total_purchase_amount": self.dollars},
            items=[{"df_item_id": "cd", "df_item_name": "CD", "df_quantity": self.cds}],
            datetime=self.moment,
            log_id=self.log_id,
        )


def read_purchases() -> Iterator[Purchase]:
    """Read the sample."""
    packed = files("dfinery_async").joinpath("_data", "cdnow_sample.csv.gz").read_bytes()
    rows = csv.DictReader(gzip.decompress(packed).decode("ascii").splitlines())
    for number, row in enumerate(rows, start=1):
        yield Purchase(
            log_id=str(uuid.uuid5(_IDS, str(number))),
            customer=row["customer_id"],
            moment=dt.datetime.strptime(row["date"], "%Y%m%d").replace(tzinfo=dt.UTC),
            cds=int(row["cds"]),
            dollars=float(row["dollars"]),
        )
