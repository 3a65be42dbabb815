"""Moments: written in UTC and cut to milliseconds, never guessed, and now unless told otherwise."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st
from values_kit import SEOUL, Zone, naive

from dfinery_async import Event, InvalidInputError
from dfinery_async.core import codec
from dfinery_async.values import datetime_text, moment_text


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (dt.datetime(2025, 3, 2, 4, 11, 9, 120_000, dt.UTC), "2025-03-02T04:11:09.120Z"),
        (dt.datetime(2025, 3, 2, 4, 11, 9, 120_999, dt.UTC), "2025-03-02T04:11:09.120Z"),
        (dt.datetime(2025, 12, 31, 23, 59, 59, 999_999, dt.UTC), "2025-12-31T23:59:59.999Z"),
        (dt.datetime(2025, 3, 2, 4, 11, 9, 999, dt.UTC), "2025-03-02T04:11:09.000Z"),
        (dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, dt.UTC), "1969-12-31T23:59:59.999Z"),
        (dt.datetime(2025, 3, 2, 13, 11, 9, tzinfo=SEOUL), "2025-03-02T04:11:09.000Z"),
        (dt.datetime(2025, 1, 1, 5, tzinfo=SEOUL), "2024-12-31T20:00:00.000Z"),
        (
            dt.datetime(2025, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3, minutes=-30, microseconds=-1_500))),
            "2025-01-01T03:30:00.001Z",
        ),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01T00:00:00.000Z"),
        (dt.datetime(1, 1, 1, 9, tzinfo=SEOUL), "0001-01-01T00:00:00.000Z"),
        (dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, dt.UTC), "9999-12-31T23:59:59.999Z"),
        (dt.datetime(2024, 10, 27, 2, 30, tzinfo=Zone(dt.timedelta(hours=2)), fold=1), "2024-10-27T00:30:00.000Z"),
    ],
    ids=str,
)
def test_moments_are_written_in_utc_with_three_digits_and_cut(value: dt.datetime, sent: str) -> None:
    event = Event("x", datetime=value, properties={"at": value})
    wire = json.loads(codec.encode_event(event))

    assert wire["event_datetime"] == wire["event_properties"]["at"] == sent
    assert event.datetime == value


@given(st.datetimes(timezones=st.timezones() | st.just(dt.UTC)))
def test_a_moment_is_never_written_later_than_it_was(value: dt.datetime) -> None:
    try:
        utc = value.astimezone(dt.UTC)
    except OverflowError:
        with pytest.raises(InvalidInputError, match="lies outside the years 1 to 9999 in UTC"):
            datetime_text(value, "at")
        return
    text = datetime_text(value, "at")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert dt.timedelta(0) <= utc - dt.datetime.fromisoformat(text) < dt.timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (naive(2024, 1, 1), "says no moment"),
        (dt.datetime(2024, 1, 1, tzinfo=Zone(None)), "says no moment"),
        (dt.datetime(9999, 12, 31, 20, tzinfo=dt.timezone(-dt.timedelta(hours=9))), "lies outside the years"),
        ("2024-01-01T00:00:00Z", "must be a datetime, not str"),
        (1_700_000_000, "must be a datetime, not int"),
        (dt.date(2024, 1, 1), "must be a datetime, not date"),
    ],
)
def test_an_events_datetime_must_be_an_aware_one(value: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        Event("x", datetime=value)

    assert caught.value.field == "datetime"


class FrozenClock(dt.datetime):
    """What freezegun and its like put in place of `datetime.datetime`."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> FrozenClock:
        return cls(2025, 3, 1, 12, 0, 0, 123456, tzinfo=tz)


def test_a_clock_that_a_users_tests_have_frozen_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dt, "datetime", FrozenClock)

    assert b'"event_datetime":"2025-03-01T12:00:00.123Z"' in codec.encode_event(Event("e"))


@pytest.mark.parametrize("arguments", [{}, {"datetime": None}])
def test_an_event_happens_now_unless_told_otherwise(arguments: dict[str, Any]) -> None:
    before = dt.datetime.now(dt.UTC)
    event = Event("x", **arguments)

    assert before <= event.datetime <= dt.datetime.now(dt.UTC)
    assert event.datetime.tzinfo is dt.UTC


def test_a_moment_of_the_clock_is_written_likewise() -> None:
    assert moment_text(1740888669.12) == "2025-03-02T04:11:09.120Z"
