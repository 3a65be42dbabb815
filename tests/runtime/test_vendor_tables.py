"""The vendor's two samples of exports (API guide, "Extracting an event", "Extract user profile"), as typed tables: a
test for each column."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import pytest
from export_bench import Bench, Reply

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
from test_columns import EVENT_HEADER, EVENT_ROWS, PROFILES

pa = pytest.importorskip("pyarrow")

KST = dt.timezone(dt.timedelta(hours=9))
MOMENT = pa.timestamp("us", "Asia/Seoul")


def event_sample() -> bytes:
    lines = []
    for row in EVENT_ROWS:
        minute, log_id, name, server, sign, user = row.split(",")
        when = f"2025.1.6 {minute}"
        lines.append(
            f",FALSE,,,null,,null,null,1.0.0,{when},,,{when},{log_id},{log_id},{name},,FALSE,,,null,,null,,null,,,,,,"
            f",,,,,,,,{server or when},xyroon,,{sign},SDK,,,{user},"
        )
    return "\n".join([EVENT_HEADER, *lines, ""]).encode()


async def table_of(data: bytes):
    async with Bench(Reply(data)) as bench:
        return await bench.export.arrow()


def minutes(name: str) -> list[dt.datetime]:
    texts = [row.split(",") for row in EVENT_ROWS]
    moments = [dt.datetime.fromisoformat(f"2025-01-06T{text[0]}:00+09:00") for text in texts]
    if name == "df_server_datetime":
        moments[2] = dt.datetime(2025, 1, 6, 10, 38, 10, 36000, tzinfo=KST)
    return moments


TYPES = {
    **dict.fromkeys(EVENT_HEADER.split(","), pa.string()),
    **dict.fromkeys(["custom_event_p_boolean", "df_items_custom_item_boolean"], pa.bool_()),
    **dict.fromkeys(["df_event_datetime", "df_server_datetime", "df_correction_datetime"], MOMENT),
    **dict.fromkeys(
        [
            "df_delivery_charge", "df_discount", "df_items_df_discount", "df_items_df_price",
            "df_total_purchase_amount", "df_total_refund_amount",
        ],
        pa.float64(),
    ),
    "df_items_df_quantity": pa.int64(),
    "event_log_id": pa.string(),
}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("name", sorted(TYPES))
async def test_a_column_of_the_event_sample(name: str) -> None:
    column = (await table_of(event_sample()))[name]
    values = column.to_pylist()
    cells = [row.split(",") for row in EVENT_ROWS]

    assert column.type == TYPES[name]
    assert len(values) == 10
    match name:
        case "df_event_datetime" | "df_server_datetime" | "df_correction_datetime":
            assert values == minutes(name)
        case "custom_event_p_boolean" | "df_items_custom_item_boolean":
            assert values == [False] * 10
        case "df_event_log_id" | "df_event_detail_log_id":
            assert values == [each[1] for each in cells]
        case "event_log_id":
            assert values == [each[1][-36:] for each in cells]
        case "df_event_name":
            assert values == [each[2] for each in cells]
        case "df_sign_channel":
            assert values == [each[4] or None for each in cells]
        case "df_unified_id":
            assert values == [each[5] for each in cells]
        case "df_api_version" | "df_service_id" | "df_source_type":
            assert (
                values == [{"df_api_version": "1.0.0", "df_service_id": "xyroon", "df_source_type": "SDK"}[name]] * 10
            )
        case _:
            assert values == [None] * 10


PROFILE_COLUMNS = {
    "custom_user_datetime": (pa.string(), [None] * 4),
    "df_gender": (pa.string(), ["Male", None, None, None]),
    "df_kakao_ads_optin": (pa.bool_(), [False] * 4),
    "df_membership": (pa.string(), [None] * 4),
    "df_push_ads_optin": (pa.bool_(), [True, False, False, False]),
    "df_push_night_ads_optin": (pa.bool_(), [False] * 4),
    "df_push_optin": (pa.bool_(), [True, False, True, False]),
    "df_sms_ads_optin": (pa.bool_(), [False] * 4),
    "df_unified_id": (pa.string(), ["ZCUyK5F", "xrx4ib2", "BWCExSV", "uZFjOE3"]),
    "scenario_list_string": (pa.list_(pa.string()), [["1", "2"], None, None, None]),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", PROFILE_COLUMNS)
async def test_a_column_of_the_profile_sample(name: str) -> None:
    column = (await table_of(PROFILES.encode()))[name]

    assert (column.type, column.to_pylist()) == PROFILE_COLUMNS[name]
