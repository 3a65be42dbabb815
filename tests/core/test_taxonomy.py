"""Taxonomies: what a file may say, what is wrong with one, and what they find in events and profiles."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

import dfinery_async
from dfinery_async import ConfigError, Event
from dfinery_async.core.nearest import nearest
from dfinery_async.core.taxonomy import DataType, Taxonomy, read_content
from dfinery_async.core.taxonomy_check import event_faults, profile_faults
from dfinery_async.values import check_properties

STANDARD = read_content(
    json.loads((Path(dfinery_async.__file__).parent / "_data" / "taxonomy.json").read_text(encoding="utf-8"))
)
OWN = read_content(
    {
        "title": "a shop",
        "events": [
            "shop_opened",
            {
                "name": "shop_rated",
                "description": "user rates the shop",
                "properties": ["shop_stars"],
                "required": ["shop_stars", "df_items"],
                "owner": "the shop's team",
            },
            {"name": "df_purchase", "properties": ["shop_coupon"]},
        ],
        "event_properties": [
            {"name": "shop_stars", "type": "Long", "description": "one to five"},
            {"name": "shop_coupon", "type": "String"},
            {"name": "shop_tags", "type": "Array of String", "used_by": ["shop_rated", "df_view_home"]},
            {"name": "shop_points", "type": "Array of Double"},
            {"name": "shop_counts", "type": "Array of Long"},
            {"name": "shop_opened_at", "type": "Datetime"},
            {"name": "shop_day", "type": "Date"},
            {"name": "shop_is_new", "type": "Boolean"},
            {"name": "shop_kind", "type": "String", "enum": "kinds"},
            "shop_any",
        ],
        "item_properties": [{"name": "shop_shelf", "type": "Long", "required": True}],
        "user_properties": [
            {"name": "df_gender", "values": ["Male", "Female"]},
            {"name": "shop_level", "type": "Long"},
        ],
        "enums": {"kinds": {"values": ["small", "large"]}},
    },
    STANDARD,
)
GOOD = {
    "shop_stars": 5,
    "shop_coupon": "C-1",
    "shop_tags": ["a"],
    "shop_points": [1, 2.5],
    "shop_counts": [],
    "shop_opened_at": dt.datetime(2025, 3, 2, tzinfo=dt.UTC),
    "shop_day": dt.date(2025, 3, 2),
    "shop_is_new": True,
    "shop_kind": "large",
    "shop_any": [1],
    "df_discount": 3,
    "df_keyword": None,
}


def faults_of(name, properties=None, items=None):
    return [str(fault) for fault in event_faults(OWN, Event(name, properties=properties, items=items))]


def test_the_standard_taxonomy_is_there_with_its_types():
    assert len([event for event in STANDARD.events.values() if not event.system]) == 15
    assert STANDARD.events["df_purchase"].items
    assert STANDARD.events["df_purchase"].required == ()
    assert "df_order_id" in STANDARD.events["df_purchase"].required_by_sdks
    assert STANDARD.item_properties["df_quantity"].type is DataType.LONG
    assert STANDARD.user_properties["df_gender"].values == ("Male", "Female", "NonBinary", "Other")
    assert repr(STANDARD) == "<Taxonomy of 17 events and 30 properties>"


def test_a_file_adds_to_what_is_standard():
    rated = OWN.events["shop_rated"]

    assert (rated.properties, rated.items, rated.required) == (
        ("shop_stars", "shop_tags"),
        True,
        ("shop_stars", "df_items"),
    )
    assert OWN.events["shop_opened"].properties == ()
    assert OWN.events["df_view_home"].properties == ("shop_tags",)
    assert OWN.events["df_purchase"].properties == (*STANDARD.events["df_purchase"].properties, "shop_coupon")
    assert OWN.events["df_purchase"].items
    assert OWN.events["df_purchase"].description == "user pays for products"
    assert OWN.user_properties["df_gender"].type is DataType.STRING
    assert OWN.user_properties["df_gender"].values == ("Male", "Female")
    assert OWN.events["df_start_session"].system


def test_items_may_be_switched_off():
    assert not read_content({"events": [{"name": "df_purchase", "items": False}]}, STANDARD).events["df_purchase"].items


def test_what_it_holds_goes_into_a_file_again():
    again = read_content(OWN.to_dict(), STANDARD)

    assert again.to_dict() == OWN.to_dict()
    assert again.events["shop_rated"].required == ("shop_stars", "df_items")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it is no object with lists such as events, but list"),
        ({"event": []}, r"'event' is no list of a taxonomy; did you mean events\?"),
        ({"events": "df_login"}, r"Expected `array`, got `str` - at `\$.events`"),
        ({"events": [7]}, r"Expected `str \| object`, got `int` - at `\$.events\[0\]`"),
        ({"events": [""]}, "events: a name: must not be empty"),
        ({"events": ['a"b']}, "events: a name holds a quotation mark, a backslash or a control character"),
        ({"events": ["a", "a"]}, "events: a comes twice"),
        ({"events": ["a"], "system_events": ["a"]}, "events: a comes twice"),
        (
            {"events": [{"name": "a", "propertys": []}]},
            r"events\[0\]: unknown key 'propertys'; did you mean prop",
        ),
        ({"events": [{"name": "a", "properties": ["b"]}]}, "events: a: there is no property 'b' in event_properties"),
        ({"events": [{"name": "a", "required": ["df_discont"]}]}, r"did you mean df_discount\?"),
        (
            {"event_properties": [{"name": "a", "type": "Text"}]},
            "a: 'Text' is none of the API's types",
        ),
        (
            {"event_properties": [{"name": "a", "enum": "kind"}], "enums": {"kinds": {}}},
            "did you mean kinds",
        ),
        ({"event_properties": [{"name": "a", "used_by": ["df_logn"]}]}, "'df_logn', .* did you mean df_login"),
        ({"user_properties": [{"type": "Long"}]}, "missing required field `name`"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_place(content, message):
    with pytest.raises(ConfigError, match=f"the taxonomy is not valid: .*{message}"):
        read_content(content, STANDARD)


def test_lists_of_the_sdks_own_are_understood():
    taxonomy = read_content(
        {
            "meta": {},
            "events": [{"name": "a", "kind": "standard", "required_properties": ["df_items"], "source": ["x"]}],
            "event_properties": [{"name": "df_items", "type": "Array of Object", "used_by": ["a"]}],
            "system_event_properties": [{"name": "took", "type": "Number (ms)"}],
        }
    )

    assert taxonomy.events["a"].items
    assert taxonomy.events["a"].required_by_sdks == ("df_items",)
    assert {name: each.type for name, each in taxonomy.event_properties.items()} == {"took": DataType.LONG}


def test_what_is_registered_has_no_faults():
    items = [{"shop_shelf": 3, "df_price": 2, "df_item_id": None}]

    assert faults_of("shop_rated", GOOD, items) == []
    assert faults_of("shop_opened") == []
    assert list(profile_faults(OWN, {"df_gender": "Male", "shop_level": 3, "df_birth": None})) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("shop_stras", 5, "is not registered; did you mean shop_stars?"),
        ("zzz", 5, "is not registered"),
        ("shop_stars", True, "is registered as Long, and a bool is none"),
        ("shop_stars", 4.5, "is registered as Long, and a float is none"),
        ("shop_stars", "5", "is registered as Long, and this text is none"),
        ("df_discount", "3", "is registered as Double, and this text is none"),
        ("df_discount", True, "is registered as Double, and a bool is none"),
        ("df_keyword", 3, "is registered as String, and a whole number is none"),
        ("shop_is_new", 1, "is registered as Boolean, and a whole number is none"),
        ("shop_opened_at", "2025-03-02", "is registered as Datetime, and this text is none"),
        ("shop_opened_at", 5, "is registered as Datetime, and a whole number is none"),
        ("shop_day", "2.3.2025", "is registered as Date, and this text is none"),
        ("shop_day", 5, "is registered as Date, and a whole number is none"),
        ("shop_tags", "a", "is registered as Array of String, and this text is none"),
        ("shop_tags", [1], "is registered as Array of String, and this list is none"),
        ("shop_counts", [1.5], "is registered as Array of Long, and this list is none"),
        ("shop_points", ["1"], "is registered as Array of Double, and this list is none"),
        ("shop_kind", "huge", "must be one of small, large"),
    ],
)
def test_a_property_that_is_not_as_registered_is_found(name, value, reason):
    properties = check_properties({name: value}, "properties")

    assert faults_of("shop_opened", properties) == [f"properties.{name}: {reason}"]


def test_all_faults_of_an_event_are_found_and_no_value_is_shown():
    found = faults_of("shop_rated", {"df_keywrd": "secret"}, None)

    assert found == [
        "properties.shop_stars: is missing, which shop_rated must have",
        "items: are missing, which shop_rated must have",
        "properties.df_keywrd: is not registered; did you mean df_keyword?",
    ]
    assert faults_of("shop_rate", None, [{"df_prise": 3}]) == [
        "name: no event shop_rate is registered; did you mean shop_rated?",
        "items[0].df_prise: is not registered; did you mean df_price?",
        "items[0].shop_shelf: is missing, which each item must have",
    ]
    assert [str(fault) for fault in profile_faults(OWN, {"df_gendre": "x"})] == [
        "properties.df_gendre: is not registered; did you mean df_gender?"
    ]


def test_nearest_names_one_name_or_none():
    assert nearest("df_logn", ["df_login", "df_logout"]) == "; did you mean df_login?"
    assert nearest("x", []) == ""
    assert isinstance(OWN, Taxonomy)
