"""Frames of any library into `client.load`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from far_end import client_at

from dfinery_async import ConfigError, InvalidInputError, TableMapping
from dfinery_async.emulator import Emulator
from dfinery_async.runtime import export_tables

pa = pytest.importorskip("pyarrow")
ROWS = [
    {"customer": 7, "at": dt.datetime(2025, 3, 2, 4, 11, tzinfo=dt.UTC), "paid": 12.5, "sku": "a", "tags": ["x", "y"]},
    {"customer": 8, "at": dt.datetime(2025, 3, 2, 4, 12, tzinfo=dt.UTC), "paid": None, "sku": "b", "tags": None},
    {"customer": 7, "at": dt.datetime(2025, 3, 2, 4, 13, tzinfo=dt.UTC), "paid": 0.0, "sku": None, "tags": []},
]
MAPPING = TableMapping(
    columns={
        "customer": "identity.external_id",
        "at": "event_datetime",
        "paid": "event_properties.df_total_purchase_amount",
        "sku": "event_items.df_item_id",
        "tags": "event_properties.tags",
    },
    constants={"event_name": "df_purchase"},
)


def polars() -> Any:
    return pytest.importorskip("polars").DataFrame(ROWS)


def pandas() -> Any:
    return pytest.importorskip("pandas", "3").DataFrame(ROWS)


def duckdb() -> Any:
    base = pytest.importorskip("duckdb").connect()
    base.execute('CREATE TABLE rows (customer INT, "at" TIMESTAMPTZ, paid DOUBLE, sku TEXT, tags TEXT[])')
    base.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", [list(row.values()) for row in ROWS])
    return base.sql("SELECT * FROM rows")


def arrow() -> Any:
    table = pa.Table.from_pylist(ROWS)
    return table.set_column(3, "sku", table["sku"].dictionary_encode())


def arrow_reader() -> Any:
    return pa.Table.from_pylist(ROWS).to_reader()


@pytest.mark.asyncio
@pytest.mark.parametrize("frame", [polars, pandas, duckdb, arrow, arrow_reader])
async def test_a_frame_of_any_library_is_loaded(frame: Callable[[], Any]) -> None:
    made = frame()
    async with Emulator() as emulator, client_at(emulator) as client:
        report = await client.load(made, mapping=MAPPING)
        events = {(event["identity"]["external_id"], event["event_datetime"]): event for event in emulator.events}

    assert (report.accepted, report.delivered, report.requests) == (3, 3, 2)
    first, second = events["7", "2025-03-02T04:11:00.000Z"], events["8", "2025-03-02T04:12:00.000Z"]
    assert first["event_properties"] == {"df_total_purchase_amount": 12.5, "tags": ["x", "y"]}
    assert first["event_items"] == [{"df_item_id": "a"}]
    assert second["event_properties"] is None
    third = events["7", "2025-03-02T04:13:00.000Z"]
    assert (third["event_properties"], third["event_items"]) == ({"df_total_purchase_amount": 0.0, "tags": []}, None)


@pytest.mark.asyncio
async def test_a_second_load_makes_no_new_events() -> None:
    async with Emulator() as emulator, client_at(emulator) as client:
        for _ in range(2):
            await client.load(arrow(), mapping=MAPPING)
        ids = [event["event_log_id"] for event in emulator.events]

    assert len(ids) == 6
    assert len(set(ids)) == 3


@pytest.mark.asyncio
async def test_columns_that_are_called_like_fields_need_no_mapping() -> None:
    row = {"identity.external_id": "u1", "event_name": "df_login", "event_datetime": "2025-03-02T04:11:00Z"}
    async with Emulator() as emulator, client_at(emulator) as client:
        await client.load(pa.Table.from_pylist([row]))
        await client.load(
            pa.Table.from_pylist([{"who": "u2", "event_name": "df_login", "event_datetime": "2025-03-02T04:11:00Z"}]),
            mapping={"who": "identity.external_id"},
        )
        assert [event["identity"]["external_id"] for event in emulator.events] == ["u1", "u2"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("rows", "mapping", "problem"),
    [
        (ROWS, None, "none of its columns is a field such as identity.external_id"),
        (ROWS, {"customer": "identity.external_id"}, "the column event_name is missing"),
        ([{**ROWS[0], "at": dt.datetime.fromisoformat("2025-03-02")}], MAPPING, "row 1: at: has no time zone"),
        ([{**row, "paid": float("nan")} for row in ROWS], MAPPING, r"row 1: event_properties\.df_total"),
    ],
)
async def test_what_can_not_be_loaded_is_named(rows: Any, mapping: Any, problem: str) -> None:
    async with Emulator() as emulator, client_at(emulator) as client:
        with pytest.raises(InvalidInputError, match=problem):
            await client.load(pa.Table.from_pylist(rows), mapping=mapping)


@pytest.mark.asyncio
async def test_a_mapping_is_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator() as emulator, client_at(emulator) as client:
        with pytest.raises(InvalidInputError, match="mapping: is for tables"):
            await client.load([("u1", "df_login")], mapping=MAPPING)

        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(export_tables, "import_module", missing)
        with pytest.raises(ConfigError, match=r"dfinery-async\[arrow\]"):
            await client.load(arrow(), mapping=MAPPING)


@pytest.mark.asyncio
async def test_long_frames_go_through_batch_by_batch() -> None:
    rows = {
        "identity.external_id": [f"u{number % 100}" for number in range(20_000)],
        "event_name": ["df_login"] * 20_000,
        "event_datetime": [dt.datetime(2025, 3, 2, tzinfo=dt.UTC)] * 20_000,
    }
    async with Emulator() as emulator, client_at(emulator) as client:
        report = await client.load(pa.table(rows))
        assert len(emulator.events) == 20_000

    assert (report.delivered, report.requests) == (20_000, 200)
