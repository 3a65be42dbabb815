from __future__ import annotations

import pytest

from dfinery_async.core.columnar import line_of
from dfinery_async.core.line_shapes import row_record
from dfinery_async.core.records import LineError

LINE = {
    "identity": {"external_id": "u1"},
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
            "identity": {"external_id": "u1", "email": None},
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
            "identity.external_id": "u1",
            "identity.email": None,
            "event_properties.df_order_id": "1",
            "event_properties.df_keyword": None,
            "event_items": LINE["event_items"],
        },
    ],
)
def test_tables_say_the_same_in_several_ways(row):
    assert line_of(row) == LINE


def test_a_plain_user_stays_one():
    assert line_of({**LINE, "identity": "u1"})["identity"] == "u1"


@pytest.mark.parametrize("name", ["event_properties", "event_items"])
def test_a_text_that_is_no_json_is_told_of(name):
    with pytest.raises(LineError, match=f"{name}: is a text that is not valid JSON"):
        line_of({**LINE, name: "{"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"event_properties": 7}, "event_properties: must be an object, not a number"),
        ({"event_properties": ["a"]}, "event_properties: must be an object, not a list"),
        ({"event_items": 7}, "event_items: must be a list, not a number"),
        ({"event_items": [7]}, r"event_items\[0\]: must be an object, not a number"),
        ({"unknown.x": 7}, "unknown.x: is no field of an event"),
    ],
)
def test_what_is_no_line_is_found_when_it_is_checked(change, expected):
    with pytest.raises(LineError, match=expected):
        row_record(line_of({**LINE, **change}), "events", 1)
