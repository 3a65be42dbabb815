from __future__ import annotations

import datetime as dt
import math
import uuid
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from dfinery_async.core.columns import (
    bare_log_id,
    row_typer,
    typed_columns,
    value_kind,
    wider_kind,
)
from dfinery_async.core.csv_rows import CsvRows, read_header
from dfinery_async.core.taxonomy import DataType
from dfinery_async.errors import ExportError
from dfinery_async.runtime.taxonomy import standard_taxonomy

SEOUL = ZoneInfo("Asia/Seoul")
KINDS = {name: column.type for name, column in standard_taxonomy().columns.items() if column.type is not None}
KST = dt.timezone(dt.timedelta(hours=9))

# The vendor's own samples: API guide, "Extracting an event" and "Extract user profile".
EVENT_HEADER = (
    "custom_012,custom_event_p_boolean,custom_event_p_datetime,custom_event_p_double,custom_event_p_double_list,"
    "custom_event_p_long,custom_event_p_long_list,custom_event_p_string_list,df_api_version,df_correction_datetime,"
    "df_delivery_charge,df_discount,df_event_datetime,df_event_detail_log_id,df_event_log_id,df_event_name,"
    "df_items_custom_012391239128,df_items_custom_item_boolean,df_items_custom_item_datetime,"
    "df_items_custom_item_double,df_items_custom_item_double_list,df_items_custom_item_long,"
    "df_items_custom_item_long_list,df_items_custom_item_string,df_items_custom_item_string_list,"
    "df_items_df_category1,df_items_df_category2,df_items_df_category3,df_items_df_category4,df_items_df_category5,"
    "df_items_df_discount,df_items_df_item_id,df_items_df_item_name,df_items_df_price,df_items_df_quantity,df_keyword,"
    "df_order_id,df_payment_method,df_server_datetime,df_service_id,df_sharing_channel,df_sign_channel,df_source_type,"
    "df_total_purchase_amount,df_total_refund_amount,df_unified_id,sum"
)
EVENT_ROWS = """
10:35,1736127307268:1736127306623:cd20207c-bb2a-4abf-a4a9-80804334cf15,df_end_session,,,7jPY23Q
10:35,1736127307268:1736127306638:19c95a76-868b-49bc-a8a5-68058377342f,df_start_session,,,7jPY23Q
10:38,1736127490036:30873a05-62d3-4007-b643-f500a151be24,df_start_session,2025-01-06 10:38:10.036,,vft57Yw
10:38,1736127513890:1d302d2c-e66e-4e7b-ba1d-94299a18c218,df_start_session,,,vft57Yw
10:38,1736127521375:0ae48e8f-05f5-48aa-acdd-0ce9c1d62631,df_sign_up,,Kakao,vft57Yw
10:38,1736127534688:10ce7ebd-ac54-4bbd-bd75-1e15c3ff92b6,df_start_session,,,vft57Yw
10:47,1736128036788:e90f4559-666c-4b04-9f1b-846c55f3b12d,df_start_session,,,vft57Yw
10:47,1736128047673:c62a93ed-4979-4307-b2d5-cbcc3f46578e,df_start_session,,,vft57Yw
10:47,1736128055767:95d77aa8-0bf2-4967-908b-0ac60987e250,df_start_session,,,vft57Yw
10:47,1736128058570:a68f6530-6496-48c1-b6bb-4593d03b140f,df_start_session,,,vft57Yw
""".strip().splitlines()  # what differs: minute, log id, event, the server's datetime, sign-up channel, user
PROFILES = """\
custom_user_datetime,df_gender,df_kakao_ads_optin,df_membership,df_push_ads_optin,df_push_night_ads_optin,\
df_push_optin,df_sms_ads_optin,df_unified_id,scenario_list_string
,Male,false,,true,false,true,false,ZCUyK5F,"[""1"",""2""]"
,,false,,false,false,false,false,xrx4ib2,null
,,false,,false,false,true,false,BWCExSV,null
,,false,,false,false,false,false,uZFjOE3,null
"""


def rows_of(text):
    data = text.encode()
    header = read_header(data)
    assert header is not None
    reader = CsvRows(len(header.columns))
    type_row = row_typer(header.columns, SEOUL, KINDS)
    return [type_row(row) for row in reader.feed(data[len(header.raw) :]) + reader.finish()]


def typed(column, text, zone=SEOUL):
    return row_typer([column], zone, KINDS)([text])[column]


@pytest.mark.parametrize("sample", EVENT_ROWS)
def test_the_vendors_event_rows(sample):
    minute, log_id, name, server, sign, user = sample.split(",")
    line = (
        f",FALSE,,,null,,null,null,1.0.0,2025.1.6 {minute},,,2025.1.6 {minute},{log_id},{log_id},{name},,FALSE,,,null,,"
        f"null,,null,,,,,,,,,,,,,,{server or f'2025.1.6 {minute}'},xyroon,,{sign},SDK,,,{user},"
    )

    (row,) = rows_of(f"{EVENT_HEADER}\n{line}\n")

    hour, minutes = map(int, minute.split(":"))
    moment = dt.datetime(2025, 1, 6, hour, minutes, tzinfo=KST)
    assert tuple(row) == typed_columns(EVENT_HEADER.split(","))
    assert {column: value for column, value in row.items() if value is not None} == {
        "custom_event_p_boolean": False,
        "df_api_version": "1.0.0",
        "df_correction_datetime": moment,
        "df_event_datetime": moment,
        "df_event_detail_log_id": log_id,
        "df_event_log_id": log_id,
        "event_log_id": log_id[-36:],
        "df_event_name": name,
        "df_items_custom_item_boolean": False,
        "df_server_datetime": dt.datetime(2025, 1, 6, 1, 38, 10, 36000, tzinfo=dt.UTC) if server else moment,
        "df_service_id": "xyroon",
        "df_source_type": "SDK",
        "df_unified_id": user,
        **({"df_sign_channel": sign} if sign else {}),
    }


def test_the_vendors_profile_rows():
    rows = rows_of(PROFILES)

    assert rows[0] == {
        "custom_user_datetime": None,
        "df_gender": "Male",
        "df_kakao_ads_optin": False,
        "df_membership": None,
        "df_push_ads_optin": True,
        "df_push_night_ads_optin": False,
        "df_push_optin": True,
        "df_sms_ads_optin": False,
        "df_unified_id": "ZCUyK5F",
        "scenario_list_string": ["1", "2"],
    }
    assert [row["df_unified_id"] for row in rows] == ["ZCUyK5F", "xrx4ib2", "BWCExSV", "uZFjOE3"]
    assert [row["scenario_list_string"] for row in rows[1:]] == [None, None, None]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("null", None),
        ("NULL", "NULL"),
        ("true", True),
        ("TRUE", True),
        ("tRuE", True),
        ("False", False),
        ("fAlSe", False),
        ("truth", "truth"),
        ("f", "f"),
        ("falsehood", "falsehood"),
        ("[]", None),
        ("[ ]", None),
        ('["a","b"]', ["a", "b"]),
        ("[1,2]", [1, 2]),
        ("[1.5]", [1.5]),
        ('["a",null]', ["a", None]),
        ("[[1]]", "[[1]]"),
        ('[{"a":1}]', '[{"a":1}]'),
        ("[a]", "[a]"),
        ("[", "["),
        ("[" * 100_000, "[" * 100_000),
        ("00000001", "00000001"),
        ("12", "12"),
        ("1.5", "1.5"),
        ("-1", "-1"),
        ("2025-01-06", "2025-01-06"),
        ("20250106T103810Z", "20250106T103810Z"),
        ("2025-W02-1T10:38:10", "2025-W02-1T10:38:10"),
        ("2025-01-06x10:38:10", "2025-01-06x10:38:10"),
        ("2025-01-06 10:38", "2025-01-06 10:38"),
        ("2025-02-30 10:38:10", "2025-02-30 10:38:10"),
        ("2025.13.6 10:35", "2025.13.6 10:35"),
        ("2025.1.6 10:35:07 x", "2025.1.6 10:35:07 x"),
        ("1234567890123456789", "1234567890123456789"),
        ("plain", "plain"),
        (" true", " true"),
        ("\u0661\u0662", "\u0661\u0662"),
    ],
)
def test_values_of_unknown_columns_say_what_they_are(text, value):
    assert typed("mine", text) == value
    assert type(typed("mine", text)) is type(value)


@pytest.mark.parametrize("column", ["mine", "df_event_datetime", "df_server_datetime", "df_correction_datetime"])
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-06 10:38:10.036", dt.datetime(2025, 1, 6, 10, 38, 10, 36000, tzinfo=KST)),
        ("2025-01-06 10:38:10", dt.datetime(2025, 1, 6, 10, 38, 10, tzinfo=KST)),
        ("2025.1.6 10:35", dt.datetime(2025, 1, 6, 10, 35, tzinfo=KST)),
        ("2025.12.31 0:05", dt.datetime(2025, 12, 31, 0, 5, tzinfo=KST)),
        ("2025.1.6 10:35:07", dt.datetime(2025, 1, 6, 10, 35, 7, tzinfo=KST)),
        ("2025-01-06T01:38:10.036Z", dt.datetime(2025, 1, 6, 10, 38, 10, 36000, tzinfo=KST)),
        ("2025-01-06T10:38:10+09:00", dt.datetime(2025, 1, 6, 10, 38, 10, tzinfo=KST)),
        ("2025-01-06T10:38:10+0900", dt.datetime(2025, 1, 6, 10, 38, 10, tzinfo=KST)),
    ],
)
def test_datetimes_are_aware(column, text, moment):
    value = typed(column, text)

    assert value == moment
    assert value.tzinfo is not None


def test_the_zone_can_be_told():
    assert typed("df_event_datetime", "2025-01-06 10:38:10", dt.UTC) == dt.datetime(
        2025, 1, 6, 10, 38, 10, tzinfo=dt.UTC
    )
    assert typed("mine", "2025.7.1 10:00", ZoneInfo("Europe/Paris")).utcoffset() == dt.timedelta(hours=2)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("df_order_id", "00000001", "00000001"),
        ("df_order_id", "null", "null"),
        ("df_order_id", "true", "true"),
        ("df_order_id", "[1]", "[1]"),
        ("df_birth", "2000-01-02", "2000-01-02"),
        ("df_event_name", "null", "null"),
        ("event_name", "true", "true"),
        ("df_total_purchase_amount", "4000", 4000.0),
        ("df_total_purchase_amount", "-1.50", -1.5),
        ("df_total_purchase_amount", "1E3", 1000.0),
        ("df_total_purchase_amount", "null", None),
        ("df_total_purchase_amount", "1,000", "1,000"),
        ("df_total_purchase_amount", "1e999", "1e999"),
        ("df_total_purchase_amount", "nan", "nan"),
        ("df_total_purchase_amount", "1_000", "1_000"),
        ("df_items_df_price", "3000", 3000.0),
        ("df_items_df_discount", "0", 0.0),
        ("df_items_df_quantity", "3", 3),
        ("df_items_df_quantity", "3.0", 3),
        ("df_items_df_quantity", "3.5", "3.5"),
        ("df_items_df_quantity", "9223372036854775807", 9223372036854775807),
        ("df_items_df_quantity", "null", None),
        ("df_items_df_quantity", "many", "many"),
        ("df_session_length", "-12", -12),
        ("df_items_df_item_id", "1", "1"),
        ("df_push_optin", "TRUE", True),
        ("df_sms_ads_optin", "false", False),
        ("df_sms_ads_optin", "null", None),
        ("df_sms_ads_optin", "maybe", "maybe"),
        ("df_event_datetime", "null", None),
        ("df_event_datetime", "yesterday", "yesterday"),
    ],
)
def test_known_columns_hold_what_the_taxonomy_says(column, text, value):
    assert typed(column, text) == value
    assert type(typed(column, text)) is type(value)


@pytest.mark.parametrize("column", [*KINDS, "mine"])
def test_empty_is_none_in_every_column(column):
    assert typed(column, "") is None


def test_kinds_go_by_the_columns_name():
    assert KINDS["df_items_df_quantity"] is DataType.LONG
    assert "df_quantity" not in KINDS  # items carry a prefix in exports
    assert len(KINDS) == 11 + 10 + 9 + 12


@given(st.sampled_from([*KINDS, "mine"]), st.text())
def test_no_text_raises_and_none_is_lost(column, text):
    value = typed(column, text)

    assert value is not None or text in {"", "null"} or text.startswith("[")
    assert not isinstance(value, float) or math.isfinite(value)


@given(st.datetimes(min_value=dt.datetime(1990, 1, 1), max_value=dt.datetime(2100, 1, 1)))  # noqa: DTZ001 - texts without a zone
def test_datetimes_come_back(moment):
    text = moment.isoformat(" ", "milliseconds")

    assert typed("mine", text) == dt.datetime.fromisoformat(text).replace(tzinfo=SEOUL)


def test_columns_of_the_same_name_are_an_error():
    with pytest.raises(ExportError, match="'b' comes twice"):
        row_typer(["a", "b", "c", "b"], SEOUL, {})
    with pytest.raises(ExportError, match="'<e-mail>' comes twice"):
        row_typer(["kim@example.com"] * 2, SEOUL, {})


@given(st.uuids(), st.lists(st.integers(0, 10**13), max_size=2))
def test_the_bare_log_id_is_the_trailing_uuid(log_id: uuid.UUID, times):
    exported = ":".join([*map(str, times), str(log_id)])

    assert bare_log_id(exported) == str(log_id)
    assert bare_log_id(exported.upper()) == str(log_id)


@pytest.mark.parametrize("text", ["", "1736127490036:", "x:30873a05-62d3-4007-b643-f500a151be24", "30873a05"])
def test_what_holds_no_log_id_gives_none(text):
    assert bare_log_id(text) is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DataType.DATE, "2025-03-01", dt.date(2025, 3, 1)),
        (DataType.DATE, "2025-02-30", "2025-02-30"),
        (DataType.DATE, "2025.3.1", "2025.3.1"),
        (DataType.DATE, "null", None),
        (DataType.STRINGS, '["a",null]', ["a", None]),
        (DataType.STRINGS, "[1]", "[1]"),
        (DataType.STRINGS, "null", None),
        (DataType.STRINGS, "a", "a"),
        (DataType.LONGS, "[1,2]", [1, 2]),
        (DataType.LONGS, "[1.5]", "[1.5]"),
        (DataType.DOUBLES, "[1,2.5]", [1.0, 2.5]),
        (DataType.DOUBLES, "[]", None),
        (DataType.STRING, "[1]", "[1]"),
    ],
)
def test_a_taxonomy_says_what_a_column_holds(kind, text, value):
    row = row_typer(["mine", "yours"], SEOUL, {"mine": kind})([text, "true"])

    assert row == {"mine": value, "yours": True}
    assert type(row["mine"]) is type(value)


def test_the_bare_log_id_stands_beside_the_exported_one():
    log_id = "30873a05-62d3-4007-b643-f500a151be24"

    assert typed_columns(["a", "df_event_log_id", "b"]) == ("a", "df_event_log_id", "event_log_id", "b")
    assert typed_columns(["event_log_id", "df_event_log_id"]) == ("event_log_id", "df_event_log_id")
    row = row_typer(["df_event_log_id", "b"], SEOUL, KINDS)([f"17:{log_id}", "x"])
    assert row == {"df_event_log_id": f"17:{log_id}", "event_log_id": log_id, "b": "x"}
    assert row_typer(["df_event_log_id", "b"], SEOUL, KINDS)(["", ""])["event_log_id"] is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, None),
        (True, DataType.BOOLEAN),
        (dt.datetime(2025, 3, 1, tzinfo=KST), DataType.DATETIME),
        ("a", DataType.STRING),
        (["a", None], DataType.STRINGS),
        ([1, None], DataType.LONGS),
        ([1, 1.5], DataType.DOUBLES),
        ([2**63], DataType.DOUBLES),
        ([True], DataType.STRING),
        (["a", 1], DataType.STRING),
    ],
)
def test_a_value_speaks_for_a_kind(value, kind):
    assert value_kind(value) is kind


def test_a_column_has_the_kind_that_holds_all_of_it():
    kinds = [None, *DataType]
    assert (
        wider_kind(DataType.LONGS, DataType.DOUBLES) is wider_kind(DataType.DOUBLES, DataType.LONGS) is DataType.DOUBLES
    )
    assert (
        wider_kind(DataType.LONGS, DataType.STRINGS)
        is wider_kind(DataType.BOOLEAN, DataType.DATETIME)
        is DataType.STRING
    )
    for kind in kinds:
        assert wider_kind(kind, None) is wider_kind(None, kind) is wider_kind(kind, kind) is kind
