"""Bodies of requests: as the vendor's samples, canonical, and read back without loss."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
import pytest
import samples
from hypothesis import given, settings, strategies as st

from dfinery_async import Event, Identity, InvalidInputError
from dfinery_async.core import codec, endpoints
from dfinery_async.values import moment_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LONG = st.integers(-(2**63), 2**63 - 1)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False)
MOMENT = st.datetimes(
    min_value=dt.datetime(2, 1, 1),  # noqa: DTZ001 - the zone comes from another strategy
    max_value=dt.datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.timezones() | st.just(dt.UTC),
)
VALUE = (
    TEXT
    | LONG
    | DOUBLE
    | st.booleans()
    | st.none()
    | MOMENT
    | st.dates()
    | st.lists(TEXT, max_size=3)
    | st.lists(LONG, max_size=3)
    | st.lists(DOUBLE | st.integers(-(2**53), 2**53), max_size=3)
)
PROPERTIES = st.dictionaries(TEXT, VALUE, max_size=4)
EVENTS = st.builds(
    Event,
    TEXT,
    properties=st.none() | PROPERTIES,
    items=st.none() | st.lists(st.dictionaries(TEXT, VALUE, min_size=1, max_size=3), max_size=3),
    datetime=MOMENT,
    log_id=st.uuids(),
)
NAMES = ("external_id", "email", "phone_no", "kakao_user_id", "line_user_id")
FIELDS = st.dictionaries(st.sampled_from(NAMES), TEXT, min_size=1)


def pairs(text: str | bytes) -> Any:
    """JSON with the order of its names kept and duplicates seen."""
    return json.loads(text, object_pairs_hook=list)


def test_body_of_events_is_the_sample() -> None:
    identity = Identity(external_id="dfn-user-123", email="user@example.com")
    login = Event(
        "df_login",
        datetime=dt.datetime(2024, 6, 24, 6, 1, 48, 501_000, dt.UTC),
        log_id="b0c9cf18-f3c0-4879-bb2e-92c65858dabc",
    )
    purchase = Event(
        "df_purchase",
        properties={
            "df_order_id": "dwtfmoe",
            "df_delivery_charge": 1000,
            "df_payment_method": "card",
            "df_total_purchase_amount": 4000,
        },
        items=[{"df_item_id": "1", "df_item_name": "item1", "df_price": 3000, "df_quantity": 1, "df_discount": 0}],
        datetime=dt.datetime(2024, 6, 24, 6, 42, 25, 394_000, dt.UTC),
        log_id="464bc021-9c56-481e-8ee8-3bf06de7c418",
    )

    body = codec.events_body(
        codec.encode_identity(identity), [codec.encode_event(event) for event in (login, purchase)]
    )

    assert pairs(body) == pairs(samples.EVENTS)


def test_body_of_an_identity_is_the_sample() -> None:
    identity = Identity(external_id="dfn-user-123", email="user@example.com", phone_no="821012345678")

    body = codec.identity_body(codec.encode_identity(identity), "2024-06-24T06:01:48.501Z")

    assert pairs(body) == pairs(samples.IDENTITIES)


def test_body_of_a_deletion_is_the_sample() -> None:
    identity = codec.encode_identity(Identity(external_id="dfn-user-123"))

    assert pairs(codec.identity_body(identity, "2025-05-13T06:01:48.501Z")) == pairs(samples.DELETE_IDENTITY)


def test_body_of_a_profile_is_the_sample() -> None:
    identity = codec.encode_identity(Identity(external_id="dfn-user-123"))

    body = codec.profile_body(identity, {"df_gender": "Female"}, "2024-05-14T06:05:46.363Z")

    assert pairs(body) == pairs(samples.USER_PROFILE)


@pytest.mark.parametrize("sample", [samples.EXPORT_EVENTS, samples.EXPORT_PROFILES])
def test_body_of_an_export_keeps_names_and_their_order(sample: str) -> None:
    assert pairs(codec.export_body(json.loads(sample))) == pairs(sample)


def test_paths_families_and_tokens_are_those_of_the_guide() -> None:
    assert [tuple(msgspec.structs.asdict(getattr(endpoints, name)).values()) for name in endpoints.__all__[:-1]] == [
        ("/api/v1/identities/delete", "identities", "import"),
        ("/api/v1/events", "events", "import"),
        ("/api/v1/export/event", "exports", "export"),
        ("/api/v1/export/userprofile", "exports", "export"),
        ("/api/v1/identities", "identities", "import"),
        ("/api/v1/user-profile", "profiles", "import"),
    ]


def test_absent_properties_and_items_go_out_as_null() -> None:
    for event in (Event("df_login"), Event("df_login", properties={}, items=[])):
        sent = json.loads(codec.encode_event(event))

        assert list(sent) == ["event_log_id", "event_name", "event_datetime", "event_properties", "event_items"]
        assert (sent["event_properties"], sent["event_items"]) == (None, None)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("foo", b'"foo"'),
        ('a "quote"\n', rb'"a \"quote\"\n"'),
        ("한글 😀", '"한글 😀"'.encode()),
        ("", b'""'),
        (1, b"1"),
        (-(2**63), b"-9223372036854775808"),
        (2**63 - 1, b"9223372036854775807"),
        (1.0, b"1.0"),
        (0.1, b"0.1"),
        (True, b"true"),
        (False, b"false"),
        (None, b"null"),
        (["a", "b"], b'["a","b"]'),
        ([0, 1], b"[0,1]"),
        ([0, 1.5], b"[0.0,1.5]"),
        ((), b"[]"),
        (dt.datetime(2023, 8, 15, 12, 30, tzinfo=dt.UTC), b'"2023-08-15T12:30:00.000Z"'),
        (dt.date(2023, 8, 15), b'"2023-08-15"'),
    ],
    ids=repr,
)
def test_each_type_of_the_api_is_written_as_the_guide_says(value: Any, sent: bytes) -> None:
    assert codec.encode_event(Event("x", properties={"p": value})).endswith(
        b'"event_properties":{"p":' + sent + b'},"event_items":null}'
    )


@given(FIELDS, FIELDS)
def test_equal_identities_give_equal_bytes_and_different_ones_do_not(
    one: dict[str, str], other: dict[str, str]
) -> None:
    first, second = Identity(**one), Identity(**other)
    reordered = Identity(**dict(reversed(one.items())))

    assert codec.encode_identity(first) == codec.encode_identity(reordered)
    assert (codec.encode_identity(first) == codec.encode_identity(second)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"external_id": "1"}, {"email": "1"}),
        ({"external_id": "a", "email": "b"}, {"external_id": "b", "email": "a"}),
        ({"external_id": "a"}, {"external_id": "A"}),
        ({"external_id": "a"}, {"external_id": "a "}),
        ({"external_id": "a"}, {"external_id": "a", "email": "b"}),
        ({"external_id": "\u00e9"}, {"external_id": "e\u0301"}),
        ({"external_id": 'a","email":"b'}, {"external_id": "a", "email": "b"}),
    ],
)
def test_users_are_never_mixed_up_by_one_field_or_by_look(one: dict[str, str], other: dict[str, str]) -> None:
    assert codec.encode_identity(Identity(**one)) != codec.encode_identity(Identity(**other))


@given(FIELDS)
def test_an_identity_is_read_back(fields: dict[str, str]) -> None:
    identity = Identity(**fields)

    assert codec.decode_identity(codec.encode_identity(identity)) == identity


@settings(max_examples=300)
@given(EVENTS)
def test_an_event_is_read_back(event: Event) -> None:
    encoded = codec.encode_event(event)
    again = codec.decode_event(encoded)

    assert again == event
    assert hash(again) == hash(event)
    assert codec.encode_event(again) == encoded


@given(EVENTS)
def test_encoding_the_same_event_twice_gives_the_same_bytes(event: Event) -> None:
    assert codec.encode_event(event) == codec.encode_event(event)


@given(FIELDS, st.lists(EVENTS, min_size=1, max_size=4))
def test_a_body_has_the_size_that_bounds_are_checked_with(fields: dict[str, str], events: list[Event]) -> None:
    identity = codec.encode_identity(Identity(**fields))
    encoded = [codec.encode_event(event) for event in events]
    body = codec.events_body(identity, encoded)

    assert len(body) == codec.events_overhead(identity) + sum(len(event) + 1 for event in encoded)
    assert len(json.loads(body)["events"]) == len(events)


@given(FIELDS, PROPERTIES)
def test_a_profile_is_valid_json_with_the_properties_as_given(
    fields: dict[str, str], properties: dict[str, Any]
) -> None:
    checked = Event("x", properties=properties).properties or {}
    body = codec.profile_body(codec.encode_identity(Identity(**fields)), checked, moment_text(0))

    assert json.loads(body) == {
        "identity": fields,
        "user_properties": checked,
        "request_datetime": "1970-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize("user", ["u1", 'a"b\\c', "\x7f\x00", "민수", "é"])
def test_a_plain_text_is_encoded_as_the_identity_that_it_stands_for(user: str) -> None:
    identity = Identity(external_id=user)

    assert codec.encode_user(user) == codec.encode_user(identity) == codec.encode_identity(identity)
    assert codec.decode_identity(codec.encode_user(user)) == identity


@pytest.mark.parametrize("user", ["", None, 1, b"u", "\ud800"])
def test_what_is_no_user_is_refused(user: Any) -> None:
    with pytest.raises(InvalidInputError):
        codec.encode_user(user)
