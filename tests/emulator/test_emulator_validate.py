"""The checks find what is wrong and name its field, pass what is right, and survive anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from emulator_kit import WHEN, event, events_body, person_body, profile_body
from hypothesis import given, strategies as st

from dfinery_async.emulator import Settings
from dfinery_async.emulator.validate import check_deletion, check_events, check_identity_body, check_profile

SETTINGS = Settings()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
longs = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    longs,
    doubles,
    st.lists(texts, max_size=4),
    st.lists(longs | doubles, max_size=4),
)
properties = st.dictionaries(texts.filter(bool), values, max_size=5)
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)).map(  # noqa: DTZ001  # bounds are naive
    lambda moment: moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
)
valid_events = st.fixed_dictionaries(
    {
        "event_log_id": st.uuids().map(str),
        "event_name": texts.filter(bool),
        "event_datetime": moments,
        "event_properties": st.none() | properties,
        "event_items": st.none() | st.lists(properties, max_size=3),
    }
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(valid_events, min_size=1, max_size=5))
def test_valid_events_pass(events: list[dict[str, Any]]) -> None:
    assert check_events(events_body(*events), SETTINGS).all() == []


@given(anything, anything, anything)
def test_no_body_breaks_the_checks(first: Any, second: Any, third: Any) -> None:
    bodies = (
        first,
        {"common": first, "events": second},
        {"common": {"identity": first}, "events": [second, third]},
        events_body(event(event_properties=first, event_items=second)),
        events_body(event(event_items=[first, second], event_datetime=third)),
        {"identity": first, "user_properties": second, "request_datetime": third},
        {"identity": {"external_id": first}, "user_properties": {"p": second}, "request_datetime": WHEN},
    )
    for body in bodies:
        for check in (check_events, check_identity_body, check_deletion, check_profile):
            check(body, SETTINGS).all()


@given(st.lists(valid_events, min_size=1, max_size=5), st.data())
def test_a_nested_object_anywhere_is_found_at_its_event(events: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(events) - 1))
    events[place] = {**events[place], "event_properties": {"inner": {"a": 1}}}

    found = check_events(events_body(*events), SETTINGS)

    assert list(found.by_event) == [place]
    assert [problem.field for problem in found.all()] == [f"events[{place}].event_properties.inner"]


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("event_log_id", "123", "event_log_id"),
        ("event_log_id", None, "event_log_id"),
        ("event_log_id", "1740888942113:0d4c1a8e-98a2-4f0c-8c0b-02c6a1f1a7d4", "event_log_id"),
        ("event_name", "", "event_name"),
        ("event_name", 5, "event_name"),
        ("event_name", "\ud800", "event_name"),
        ("event_datetime", None, "event_datetime"),
        ("event_datetime", "2025-03-02T04:11:09.120", "event_datetime"),
        ("event_datetime", "2025-03-02T04:11:09.120+09:00", "event_datetime"),
        ("event_datetime", "2025-03-02T04:11:09.12Z", "event_datetime"),
        ("event_datetime", "2025-02-30T04:11:09Z", "event_datetime"),
        ("event_datetime", "2025-02-28T24:11:09Z", "event_datetime"),
        ("event_properties", [], "event_properties"),
        ("event_properties", {"a": {"b": 1}}, "event_properties.a"),
        ("event_properties", {"a": float("nan")}, "event_properties.a"),
        ("event_properties", {"a": float("inf")}, "event_properties.a"),
        ("event_properties", {"a": 2**63}, "event_properties.a"),
        ("event_properties", {"a": [1, "b"]}, "event_properties.a"),
        ("event_properties", {"a": [True]}, "event_properties.a"),
        ("event_properties", {"a": [None]}, "event_properties.a"),
        ("event_properties", {"a": [[1]]}, "event_properties.a"),
        ("event_properties", {"a": [2**63]}, "event_properties.a"),
        ("event_properties", {"a": "\udfff"}, "event_properties.a"),
        ("event_properties", {"": 1}, "event_properties"),
        ("event_items", {}, "event_items"),
        ("event_items", [1], "event_items[0]"),
        ("event_items", [{"a": 1}, {"a": {}}], "event_items[1].a"),
        ("event_items", [{}] * 101, "event_items"),
        ("event_order_no", 1, "event_order_no"),
    ],
)
def test_bad_fields_of_events(field: str, value: Any, path: str) -> None:
    found = check_events(events_body(event(), event(**{field: value})), SETTINGS)

    assert [problem.field for problem in found.all()] == [f"events[1].{path}"]


@pytest.mark.parametrize("name", ["event_log_id", "event_name", "event_datetime"])
def test_fields_that_an_event_needs(name: str) -> None:
    body = events_body({key: value for key, value in event().items() if key != name})

    assert [problem.field for problem in check_events(body, SETTINGS).all()] == [f"events[0].{name}"]


def test_properties_and_items_may_be_absent() -> None:
    body = events_body({key: event()[key] for key in ("event_log_id", "event_name", "event_datetime")})

    assert check_events(body, SETTINGS).all() == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, "common"),
        ({"common": {}, "events": []}, "common.identity"),
        ({"common": {"identity": []}, "events": []}, "common.identity"),
        ({"common": {"identity": {"external_id": "u"}}}, "events"),
        ({"common": {"identity": {"external_id": "u"}}, "events": {}}, "events"),
    ],
)
def test_broken_envelopes_are_bad_requests(body: Any, path: str) -> None:
    assert check_events(body, SETTINGS).bad_request[0].field == path


@pytest.mark.parametrize(
    ("identity", "path"),
    [
        ({}, "identity"),
        ({"external_id": ""}, "identity"),
        ({"external_id": None}, "identity"),
        ({"email": "a", "external_id": 5}, "identity.external_id"),
        ({"email": "a", "unified_id": "b"}, "identity.unified_id"),
        ({"email": "\ud800"}, "identity.email"),
    ],
)
def test_bad_identities(identity: dict[str, Any], path: str) -> None:
    found = check_identity_body({"identity": identity, "request_datetime": WHEN}, SETTINGS)

    assert [problem.field for problem in found.all()] == [path]


def test_a_deletion_needs_the_external_id() -> None:
    found = check_deletion(person_body(email="a@example.com"), SETTINGS)

    assert [problem.field for problem in found.all()] == ["identity.external_id"]


def test_a_profile_update_needs_properties() -> None:
    assert [each.field for each in check_profile(profile_body({}, external_id="u"), SETTINGS).all()] == [
        "user_properties"
    ]
    assert check_profile(person_body(external_id="u"), SETTINGS).bad_request[0].field == "user_properties"


def test_nulls_and_unknown_fields_by_switch() -> None:
    body = events_body(event(event_properties={"a": None}, extra=1))

    assert check_events(body, Settings(unknown_fields="accept")).all() == []
    strict = Settings(unknown_fields="accept", null_values="reject")
    assert [problem.field for problem in check_events(body, strict).all()] == ["events[0].event_properties.a"]


def test_items_are_counted_by_request_or_by_event() -> None:
    body = events_body(*[event(event_items=[{"a": 1}] * 60) for _ in range(2)])

    assert [problem.field for problem in check_events(body, SETTINGS).all()] == ["events"]
    assert check_events(body, Settings(items_limit="event")).all() == []
