"""Typed events: the text that is made of a taxonomy, and what the classes do."""

from __future__ import annotations

import datetime as dt
import sys
import types

import pytest
from hypothesis import given, strategies as st

from dfinery_async import InvalidInputError
from dfinery_async.core.taxonomy import DataType, read_content
from dfinery_async.core.typegen import typed_module

SHOP = read_content(
    {
        "events": [
            {
                "name": "shop_rated",
                "description": 'user   says "how\\it" was \x00',
                "properties": [
                    "shop-stars",
                    "class",
                    "Size",
                    "shop_tags",
                    "day",
                    "at",
                    "any",
                    "_kind",
                    "2nd",
                    "field",
                    "event",
                    "ﬁne",
                    "점수",
                    "a_name_that_is_so_long_that_its_line_would_not_fit_as_a_list",
                    "another-name-that-is-so-long-that-it-needs-lines-of-its-own",
                ],
                "required": ["shop-stars", "df_items"],
                "required_properties": ["shop-stars", "class"],
            },
            {"name": "shop rated", "items": False},
            {"name": "none", "items": True, "description": "so long a text that it is " * 9},
            {"name": "an_event_with_a_name_so_long_that_its_class_needs"},
            {"name": "2_go", "properties": ["size"]},
        ],
        "system_events": ["df_start_session"],
        "event_properties": [
            {"name": "shop-stars", "type": "Long"},
            {"name": "class", "type": "Boolean"},
            {"name": "Size", "values": ["S", "L"]},
            {"name": "shop_tags", "type": "Array of String"},
            {"name": "day", "type": "Date"},
            {"name": "at", "type": "Datetime"},
            "any",
            {"name": "_kind", "values": ["it's", 'a "b"', "back\\slash\u202e"]},
            {"name": "size", "values": [f"a rather long value, number {number}" for number in range(5)]},
            {"name": "2nd", "type": "Double", "values": ["it's", 'a "b"', "back\\slash\u202e"]},
            *("field", "event", "ﬁne", "점수"),
            {"name": "a_name_that_is_so_long_that_its_line_would_not_fit_as_a_list", "type": "Array of Double"},
            "another-name-that-is-so-long-that-it-needs-lines-of-its-own",
        ],
        "item_properties": [{"name": "shelf", "type": "Long", "required": True}],
    }
)
TEXT = typed_module(SHOP, "shop.yaml")


def imported(text):
    module = types.ModuleType("typed_events_of_a_test")
    sys.modules[module.__name__] = module  # where the annotations are looked up
    exec(compile(text, module.__name__, "exec"), module.__dict__)  # noqa: S102 - our own text
    return module


def test_the_same_taxonomy_gives_the_same_text():
    assert typed_module(SHOP, "shop.yaml") == TEXT
    assert TEXT.startswith('"""Typed events of the taxonomy shop.yaml.\n')


def test_no_line_is_longer_than_usual_where_it_can_be_helped():
    assert max(map(len, TEXT.splitlines())) <= 88


def test_names_that_are_no_names_in_python_are_sent_as_they_are():
    shop = imported(TEXT)
    event = shop.ShopRated(
        items=[shop.Item(shelf=3)],
        shop_stars=5,
        class_=True,
        Size_="L",
        shop_tags=["a"],
        day=dt.date(2025, 3, 2),
        at=dt.datetime(2025, 3, 2, tzinfo=dt.UTC),
        any="x",
        property_kind="it's",
        property_2nd='a "b"',
        field_=1,
        event_=2,
        fine=3,
        점수=4,
    ).event()

    assert event.name == "shop_rated"
    assert event.items == [{"shelf": 3}]
    assert event.properties == {
        "shop-stars": 5,
        "class": True,
        "Size": "L",
        "shop_tags": ["a"],
        "day": "2025-03-02",
        "at": "2025-03-02T00:00:00.000Z",
        "any": "x",
        "_kind": "it's",
        "2nd": 'a "b"',
        "field": 1,
        "event": 2,
        "ﬁne": 3,
        "점수": 4,
    }
    assert shop.ShopRated_.event_name == "shop rated"
    assert shop.None_.event_name == "none"
    assert shop.Event2Go.event_name == "2_go"
    assert not hasattr(shop, "DfStartSession")


def test_docstrings_say_what_the_taxonomy_says():
    shop = imported(TEXT)

    assert shop.ShopRated.__doc__ == "User says 'how\\it' was.\n\n    The vendor's SDKs ask for class.\n    "
    assert shop.__all__ == sorted(shop.__all__)
    assert set(shop.__all__) == {name for name, value in vars(shop).items() if name[0].isupper()} - {
        *("ClassVar", "Literal", "Sequence", "TypeAlias", "Any", "TypedEvent", "TypedItem", "TypedProfile")
    }


def test_what_is_not_given_is_left_out():
    shop = imported(typed_module(read_content({"events": ["a"], "user_properties": ["b", "c"]}), "t"))

    assert shop.A().event().properties is None
    assert shop.UserProperties(b=None).to_dict() == {"b": None}
    assert shop.UserProperties().to_dict() == {}


def test_time_and_id_are_those_of_the_event():
    shop = imported(typed_module(read_content({"events": ["a"]}), "t"))
    moment = dt.datetime(2025, 3, 2, tzinfo=dt.UTC)
    event = shop.A().event(datetime=moment, log_id="5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa")

    assert (event.datetime, event.log_id) == (moment, "5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shop_stars": "secret"}, r"^properties\.shop-stars: Expected `int`, got `str`$"),
        ({"shop_stars": 5, "shop_tags": ["a", 7]}, r"^properties\.shop_tags\[1\]: Expected `str`, got `int`$"),
        ({"shop_stars": 5, "property_2nd": "secret"}, r"^properties\.2nd: Expected one of the registered values$"),
        ({"shop_stars": 5, "any": 2**70}, "outside a signed 64-bit Long"),
    ],
)
def test_a_value_of_another_type_is_found_and_not_shown(values, message):
    shop = imported(TEXT)

    with pytest.raises(InvalidInputError, match=message):
        shop.ShopRated(items=[shop.Item(shelf=1)], **values).event()


def test_a_misspelt_or_missing_property_is_found_where_the_object_is_made():
    shop = imported(TEXT)

    with pytest.raises(TypeError, match="shop_stras"):
        shop.ShopRated(items=[], shop_stras=5)
    with pytest.raises(TypeError, match="shop_stars"):
        shop.ShopRated(items=[])
    with pytest.raises(TypeError, match="shelf"):
        shop.Item()
    with pytest.raises(InvalidInputError, match=r"^item\.shelf: Expected `int`, got `str`$"):
        shop.ShopRated(items=[shop.Item(shelf="x")], shop_stars=1).event()


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=["\\", '"', *map(chr, range(32))]),
    min_size=1,
    max_size=12,
)
PROPERTIES = st.builds(
    lambda name, kind, text, values: {"name": name, "type": kind.value, "description": text, "values": values},
    NAMES,
    st.sampled_from(DataType),
    st.text(),
    st.lists(NAMES, max_size=2),
)


@given(
    st.lists(PROPERTIES, max_size=4, unique_by=lambda each: each["name"]),
    st.lists(st.tuples(NAMES, st.text()), max_size=3, unique_by=lambda each: each[0]),
)
def test_any_taxonomy_gives_a_module_that_works(properties, events):
    names = [each["name"] for each in properties if each["name"] != "df_items"]
    taxonomy = read_content(
        {
            "events": [{"name": name, "description": text, "properties": names} for name, text in events],
            "event_properties": properties,
            "item_properties": properties,
            "user_properties": properties,
        }
    )
    module = imported(typed_module(taxonomy, "t"))

    kinds = [
        value for value in vars(module).values() if hasattr(value, "event_name") and value.__module__ == module.__name__
    ]
    assert sorted(kind.event_name for kind in kinds) == sorted(name for name, _ in events)
    for kind in kinds:
        assert list(kind.__struct_encode_fields__) == names
        assert kind().event().properties is None
    assert list(module.UserProperties.__struct_encode_fields__) == [each["name"] for each in properties]
