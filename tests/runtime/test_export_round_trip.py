"""Real purchases through the client to the emulator, and out again as Parquet; many exports at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from pathlib import Path

import pytest
from far_end import client_at

from dfinery_async.cli.purchases import read_purchases
from dfinery_async.emulator import Emulator, Fault

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
KST = dt.timezone(dt.timedelta(hours=9))


@pytest.mark.asyncio
async def test_purchases_come_back_equal_by_value_and_type(tmp_path: Path) -> None:
    purchases = list(itertools.islice(read_purchases(), 1500))
    days = [purchase.moment.astimezone(KST).date() for purchase in purchases]
    async with Emulator(export_days=None, keep_bodies=False) as emulator, client_at(emulator) as client:
        await client.load((purchase.event(number) for number, purchase in enumerate(purchases, 1)), linger=0.05)
        await client.export_events(min(days), max(days)).save(tmp_path / "p.parquet")
        await client.export_profiles(identities=True).save(tmp_path / "u.parquet")

    users = pq.read_table(tmp_path / "u.parquet")
    customer = dict(zip(users["df_unified_id"].to_pylist(), users["df_external_id"].to_pylist(), strict=True))
    table = pq.read_table(tmp_path / "p.parquet")
    source = pa.table(
        {
            "event_log_id": [purchase.log_id for purchase in purchases],
            "df_event_datetime": pa.array(
                [purchase.moment for purchase in purchases], pa.timestamp("us", "Asia/Seoul")
            ),
            "df_event_name": ["df_purchase"] * len(purchases),
            "df_items_df_item_id": ["cd"] * len(purchases),
            "df_items_df_quantity": [purchase.cds for purchase in purchases],
            "df_order_id": [f"cdnow-{number:05}" for number in range(1, len(purchases) + 1)],
            "df_total_purchase_amount": [purchase.dollars for purchase in purchases],
        }
    )
    assert table.select(source.column_names).sort_by("event_log_id").equals(source.sort_by("event_log_id"))
    by_id = dict(zip(table["event_log_id"].to_pylist(), table["df_unified_id"].to_pylist(), strict=True))
    assert all(customer[by_id[purchase.log_id]] == purchase.customer for purchase in purchases)


@pytest.mark.asyncio
async def test_of_twelve_exports_at_once_five_are_in_the_air(tmp_path: Path) -> None:
    async with Emulator() as emulator, client_at(emulator) as client:
        await client.send_events("u1", "df_login")
        emulator.inject(Fault("latency", family="exports", seconds=0.02))
        today = dt.datetime.now(KST).date()
        saved = await asyncio.gather(
            *(
                client.export_events(today - dt.timedelta(days=3), today, days_per_call=1).save(tmp_path / f"{n}.jsonl")
                for n in range(12)
            )
        )
        calls = [request for request in emulator.requests if request.family == "exports"]

    assert [each.rows for each in saved] == [1] * 12
    assert len(calls) == 48
    assert all(request.status == 200 for request in calls)  # a sixth at once is answered with 429
