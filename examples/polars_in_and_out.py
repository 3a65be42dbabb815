"""A frame of Polars into DFINERY, and what came of it out again as a frame.

    pip install 'dfinery-async[arrow]' polars
    python polars_in_and_out.py

Settings come from the environment, as `dfinery emulate` prints them.
"""

from __future__ import annotations

import asyncio
import datetime as dt

import polars as pl

from dfinery_async import DfineryClient, TableMapping

MAPPING = TableMapping(
    columns={
        "customer": "identity.external_id",
        "at": "event_datetime",
        "order": "event_properties.df_order_id",
        "paid": "event_properties.df_total_purchase_amount",
        "sku": "event_items.df_item_id",
        "count": "event_items.df_quantity",
    },
    constants={"event_name": "df_purchase"},
)


def orders() -> pl.DataFrame:
    """Return what a shop sold today."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return pl.DataFrame(
        {
            "customer": [417, 418, 417],
            "at": [now - dt.timedelta(minutes=minutes) for minutes in (3, 2, 1)],
            "order": ["00000001", "00000002", "00000003"],
            "paid": [21.5, 0.0, 9.99],
            "sku": ["mug", "tea", "mug"],
            "count": [2, 1, 1],
        }
    )


async def round_trip(sold: pl.DataFrame) -> pl.DataFrame:
    """Load a frame, and return the purchases of yesterday and today."""
    async with DfineryClient.from_env() as client:
        report = await client.load(sold, mapping=MAPPING)
        print(f"{report.delivered} of {report.accepted} delivered in {report.requests} requests")
        korea = dt.datetime.now(dt.timezone(dt.timedelta(hours=9))).date()  # what the API counts days in
        export = client.export_events(korea - dt.timedelta(days=1), korea, events=["df_purchase"])
        return pl.DataFrame(await export.arrow())


def main() -> None:
    """Show both."""
    sold = orders()
    exported = asyncio.run(round_trip(sold))
    columns = {
        "df_event_datetime": "at",
        "df_order_id": "order",
        "df_total_purchase_amount": "paid",
        "df_items_df_item_id": "sku",
        "df_items_df_quantity": "count",
    }
    bought = exported.select(columns.keys()).rename(columns).sort("order")
    print(bought.with_columns(pl.col("at").dt.convert_time_zone("UTC")))
    same = bought.drop("at").equals(sold.drop("customer", "at").sort("order"))
    print("the same as what was sold" if same else "something else")


if __name__ == "__main__":
    main()
