from __future__ import annotations

import pytest

from dfinery_async.core.columnar import line_of
from dfinery_async.core.line_shapes import row_record
from dfinery_async.core.records import LineError

LINE = {
    "identity": {"external_id": "17"},
    "event_name": "df_purchase",
    "event_datetime": "2025-03-02T04:11:09.120Z",
    "event_properties": {"df_order_id": "1"},
    "event_items": [{"df_item_id": "a"}, {"df_item_id": "b"}],
}
PLAIN = {name: LINE[name] for name in ("event_name", "event_datetime")}


@pytest.mark.parametrize(
    "row",
    [
        LINE,
        {
            **LINE,
            "identity": {"external_id": 17, "email": None},
            "event_properties": {"df_order_id": "1", "df_keyword": None},
            "event_items": [{"df_item_id": "a", "df_price": None}, {"df_item_id": "b"}],
            "event_log_id": None,
        },
        {**LINE, "event_properties": [("df_order_id", "1"), ("df_keyword", None)]},
        {
            **LINE,
            "event_properties": '{"df_order_id": "1", "df_keyword": null}',
            "event_items": '[{"df_item_id": "a"}, {"df_item_id": "b"}]',
        },
        {
            **PLAIN,
            "identity.external_id": 17,
            "identity.email": None,
            "event_properties.df_order_id": "1",
            "event_properties.df_keyword": None,
            "event_items": LINE["event_items"],
        },
    ],
)
def test_tables_say_the_same_in_several_ways(row):
    assert line_of(row) == LINE


@pytest.mark.parametrize("user", ["u1", "17", 17])
def test_a_plain_user_stays_one(user):
    assert line_of({**LINE, "identity": user})["identity"] == str(user)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("text", "a row must be a dict, not str"),
        ({**LINE, "event_properties": "{"}, "event_properties: must be a JSON object"),
        ({**LINE, "event_properties": 7}, "event_properties: must be an object"),
        ({**LINE, "event_items": "{"}, "event_items: must be a JSON list of objects"),
        ({**LINE, "event_items": [7]}, "event_items: must be an object"),
        ({**LINE, "identity": 7.5}, "identity: must be an object"),
        ({**LINE, "identity": {"external_id": 7.5}}, "identity.external_id: must be text, or a whole number"),
        ({**LINE, "identity.email": 7.5}, "identity.email: must be text, or a whole number"),
        ({**LINE, "unknown.x": 7}, "unknown.x: is no field of an event"),
    ],
)
def test_what_is_wrong_is_told_with_the_column(row, expected):
    with pytest.raises(LineError, match=expected):
        row_record(line_of(row), "events", 1)
