"""What may stand in an event, and how what may not is refused: at once, and by its field."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import json
import re
import types
import uuid
from typing import Any

import pytest
from values_kit import ID, SEOUL, Colour, Shade, Text, Zone, naive

from dfinery_async import Event, Identity, InvalidInputError
from dfinery_async.core import codec
from dfinery_async.values import MAX_ITEMS, check_items, check_properties, check_text


class Whole(int):
    pass


class Real(float):
    pass


class Day(dt.date):
    def isoformat(self) -> str:
        return "not a day"


class Moment(dt.datetime):
    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return f"not a moment{sep}{timespec}"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    ONE = 1


class NumberLike:
    """As numpy's numbers are: it converts, and it is no number of Python's."""

    def __int__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def __index__(self) -> int:
        return 1


class SequenceLike:
    """As numpy's arrays are: it has a length and elements, and comparing it gives no truth."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> float:
        return [1.0][index]

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

GOOD: list[tuple[Any, Any]] = [
    ("", ""),
    ("a\x00b", "a\x00b"),
    ("한글 😀", "한글 😀"),
    (0, 0),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (1.5, 1.5),
    (5e-324, 5e-324),
    (1.7976931348623157e308, 1.7976931348623157e308),
    (True, True),
    (None, None),
    (Text("a"), "a"),
    (Text("é"), "é"),
    (Whole(7), 7),
    (Real(0.5), 0.5),
    (Colour.RED, "red"),
    (Shade.DARK, "dark"),
    (Level.HIGH, 3),
    (dt.date(2024, 2, 29), "2024-02-29"),
    (Day(2024, 2, 29), "2024-02-29"),
    (dt.datetime(2024, 2, 29, 9, tzinfo=SEOUL), "2024-02-29T00:00:00.000Z"),
    (Moment(2024, 2, 29, 9, tzinfo=SEOUL), "2024-02-29T00:00:00.000Z"),
    ([], []),
    ((), []),
    (["a", ""], ["a", ""]),
    (("a", Text("b"), Colour.RED), ["a", "b", "red"]),
    ([1, -2], [1, -2]),
    ([Whole(1), Level.HIGH], [1, 3]),
    ([1.5, Real(2.5)], [1.5, 2.5]),
    ([1, 2.5], [1.0, 2.5]),
    ([2.5, 1, 2**63 - 1], [2.5, 1.0, float(2**63 - 1)]),
]

BAD: list[tuple[Any, str]] = [
    (float("nan"), ""),
    (float("inf"), ""),
    (Real("-inf"), ""),
    (2**63, ""),
    (-(2**63) - 1, ""),
    (Whole(2**63), ""),
    (10**5000, ""),
    ("\ud800", ""),
    ("a\udfffb", ""),
    (naive(2024, 1, 1), ""),
    (dt.datetime(2024, 1, 1, tzinfo=Zone(None)), ""),
    (dt.datetime(2024, 1, 1, tzinfo=Zone(dt.timedelta(hours=25))), ""),
    (dt.datetime(1, 1, 1, tzinfo=SEOUL), ""),
    (dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(-dt.timedelta(hours=9))), ""),
    ({"a": 1}, ""),
    ({}, ""),
    (types.MappingProxyType({}), ""),
    (decimal.Decimal(1), ""),
    (fractions.Fraction(1), ""),
    (1j, ""),
    (b"bytes", ""),
    (bytearray(b"bytes"), ""),
    ({"a"}, ""),
    (frozenset({1}), ""),
    (collections.deque([1]), ""),
    (array.array("d", [1.0]), ""),
    (range(3), ""),
    ((number for number in [1]), ""),
    (uuid.UUID(ID), ""),
    (dt.time(1), ""),
    (dt.timedelta(1), ""),
    (object(), ""),
    (int, ""),
    (Plain.ONE, ""),
    (NumberLike(), ""),
    (SequenceLike(), ""),
    (Identity(email="kim@example.com"), ""),
    ([True], "[0]"),
    ([1, True], "[1]"),
    ([None], "[0]"),
    ([[]], "[0]"),
    ([{}], "[0]"),
    (["a", dt.date(2024, 1, 1)], "[1]"),
    ([1.0, NumberLike()], "[1]"),
    ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "[0]"),
    (CYCLE, "[0]"),
    (["a", 1], ""),
    ([1.5, "a"], ""),
    (["a", "\ud800"], "[1]"),
    ([0, 2**63], "[1]"),
    ([0.5, 10**400], "[1]"),
    ([10**400, 0.5], "[0]"),
    ([0.5, float("nan")], "[1]"),
    ([1, float("inf")], "[1]"),
]


@pytest.mark.parametrize(("value", "kept"), GOOD, ids=repr)
def test_values_of_the_apis_types_are_taken(value: Any, kept: Any) -> None:
    properties = check_properties({"p": value}, "properties")
    item = Event("x", items=[{"p": value}]).items

    assert properties == {"p": kept}
    assert item == [{"p": kept}]
    assert type(properties["p"]) is type(kept)
    assert json.loads(codec.encode_event(Event("x", properties={"p": value})))["event_properties"] == {"p": kept}


@pytest.mark.parametrize(
    ("value", "inner"), BAD, ids=[f"{index}-{type(bad).__name__}" for index, (bad, _) in enumerate(BAD)]
)
def test_other_values_are_refused_by_the_name_of_their_field(value: Any, inner: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Event("x", properties={"good": 1, "df_price": value})
    assert caught.value.field == f"properties.df_price{inner}"

    with pytest.raises(ValueError, match=rf"^items\[3\]\.df_quantity{re.escape(inner)}: ") as caught_in_item:
        Event("x", items=[{"a": 1}, {"a": 1}, {"a": 1}, {"a": 1, "df_quantity": value}])
    assert isinstance(caught_in_item.value, InvalidInputError)
    assert caught_in_item.value.__cause__ is None
    assert caught_in_item.value.__context__ is None or caught_in_item.value.__suppress_context__


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), 1.5])
def test_names_must_be_text(name: Any) -> None:
    for value in (1, 1.5, "é"):
        with pytest.raises(InvalidInputError, match=r"^properties: names must be text, not "):
            Event("x", properties={name: value})
    with pytest.raises(InvalidInputError, match=r"^items\[0\]: names must be text, not "):
        Event("x", items=[{name: 1}])


@pytest.mark.parametrize("name", ["", Text(""), "\ud800"])
def test_names_must_be_sendable_text(name: str) -> None:
    for value in (1, 1.5):
        with pytest.raises(InvalidInputError) as caught:
            Event("x", properties={name: value})
        assert caught.value.field == "properties (a name)"


@pytest.mark.parametrize("name", [Text("p"), Colour.RED, Shade.DARK, "한글"])
@pytest.mark.parametrize("value", [1, 1.5])
def test_names_may_be_members_of_an_enum(name: str, value: float) -> None:
    event = Event(name, properties={name: value}, items=[{name: value}])
    plain = str.__str__(name)
    sent = json.loads(codec.encode_event(event))

    assert sent["event_name"] == plain
    assert sent["event_properties"] == {plain: value}
    assert sent["event_items"] == [{plain: value}]
    assert type(event.name) is str
    assert codec.decode_event(codec.encode_event(event)) == event


def test_a_field_is_named_by_the_text_of_an_enums_member() -> None:
    with pytest.raises(InvalidInputError) as caught:
        Event("x", properties={Colour.RED: decimal.Decimal(1)})

    assert caught.value.field == "properties.red"


@pytest.mark.parametrize("properties", [[], "ab", [("a", 1)], 1, {"a"}, b"", object()])
def test_properties_must_be_a_mapping(properties: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^properties: must be a dict, not "):
        Event("x", properties=properties)


def test_any_mapping_will_do() -> None:
    for properties in (types.MappingProxyType({"a": 1}), collections.UserDict({"a": 1}), collections.OrderedDict(a=1)):
        assert Event("x", properties=properties, items=[properties]).properties == {"a": 1}
        assert check_items((properties,), "items") == [{"a": 1}]


@pytest.mark.parametrize("items", [{}, {"a": 1}, "ab", b"ab", 1, iter([]), (item for item in [{"a": 1}])])
def test_items_must_be_a_list(items: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^items: must be a list of dicts, not "):
        Event("x", items=items)


@pytest.mark.parametrize("item", [1, "ab", [], [("a", 1)], b""])
def test_each_item_must_be_a_mapping(item: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^items\[1\]: must be a dict, not "):
        Event("x", items=[{"a": 1}, item])


@pytest.mark.parametrize("item", [{}, None])
def test_an_item_needs_a_property(item: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^items\[1\]: must have at least one property"):
        Event("x", items=[{"a": 1}, item])


def test_one_hundred_items_pass_and_one_more_does_not() -> None:
    items = [{"a": number} for number in range(MAX_ITEMS)]

    assert len(Event("x", items=items).items or ()) == 100
    with pytest.raises(InvalidInputError, match=r"^items: 101 items; the API takes at most 100"):
        Event("x", items=[*items, {"a": 1}])


@pytest.mark.parametrize("empty", [None, {}])
def test_no_properties_and_empty_ones_are_the_same(empty: Any) -> None:
    assert check_properties(empty, "properties") is None
    assert check_items(None, "items") is check_items([], "items") is None
    assert Event("x", properties=empty, log_id=ID, datetime=dt.datetime(2024, 1, 1, tzinfo=dt.UTC)) == Event(
        "x", items=[], log_id=ID, datetime=dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    )


@pytest.mark.parametrize("name", ["", None, 1, b"x", "\ud800", ["x"]])
def test_an_event_needs_a_name_that_can_be_sent(name: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Event(name)

    assert caught.value.field == "name"


def test_changes_of_the_callers_dicts_change_nothing() -> None:
    tags, item, properties = ["a"], {"df_price": 1}, dict[str, Any]()
    items = [item]
    properties.update(total=1, tags=tags)
    event = Event("x", properties=properties, items=items)
    before = codec.encode_event(event)

    tags.append("b")
    properties["total"] = float("nan")
    item["df_price"] = 2
    items.append({"df_price": 3})

    assert codec.encode_event(event) == before
    assert event.properties == {"total": 1, "tags": ["a"]}
    assert event.items == [{"df_price": 1}]


def test_an_event_cannot_be_changed() -> None:
    event = Event("x")

    with pytest.raises(AttributeError):
        event.name = "y"  # type: ignore[misc]


# --- equality


def test_events_are_equal_when_the_api_gets_the_same() -> None:
    moment = dt.datetime(2025, 3, 2, 4, 11, 9, 120_999, dt.UTC)
    event = Event("x", datetime=moment, log_id=ID)

    assert event == Event("x", datetime=moment.astimezone(SEOUL).replace(microsecond=120_000), log_id=ID.upper())
    assert not event != Event("x", datetime=moment, log_id=ID)  # noqa: SIM202 - `!=` has code of its own
    assert len({event, Event("x", datetime=moment, log_id=ID)}) == 1
    assert event != Event("x", datetime=moment + dt.timedelta(milliseconds=1), log_id=ID)
    assert event != Event("y", datetime=moment, log_id=ID)
    assert event != Event("x", datetime=moment, log_id=ID, properties={"a": 1})
    assert event != Event("x", datetime=moment)
    assert event != "x"
    assert not event == "x"  # noqa: SIM201 - `==` has code of its own


# --- texts


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"]])
def test_a_text_must_be_text(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^f: must be text, not "):
        check_text(value, "f")


def test_a_checked_text_is_plain() -> None:
    assert [type(check_text(text, "f")) for text in ("a", Text("a"), Colour.RED, Shade.DARK)] == [str] * 4
