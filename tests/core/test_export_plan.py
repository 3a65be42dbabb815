from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given, strategies as st

from dfinery_async.core.export_plan import event_export_calls, profile_export_call, split_days
from dfinery_async.errors import InvalidInputError

DAY = dt.date(2025, 3, 1)


def events(*args, **options):
    return [json.loads(call.body) for call in event_export_calls(*args, **options)]


def profiles(**options):
    return json.loads(profile_export_call(**options).body)


def test_the_vendors_event_sample():
    assert events(
        "2024-08-25", "2024-08-26", events=["df_purchase"], properties=["df_discount", "df_items_df_price"]
    ) == [
        {
            "events": ["df_purchase"],
            "events_condition_type": "include",
            "properties": ["df_discount", "df_items_df_price"],
            "properties_condition_type": "include",
            "from_date": "2024-08-25",
            "to_date": "2024-08-26",
        }
    ]


def test_the_vendors_profile_sample():
    assert profiles(audience="nwh3nu", exclude_properties=["df_birth"], identities=["df_external_id"]) == {
        "audience": "nwh3nu",
        "properties_condition_type": "exclude",
        "properties": ["df_birth"],
        "identities": ["df_external_id"],
        "identities_condition_type": "include",
    }


def test_everything_is_asked_for_by_default_and_says_so():
    assert events(DAY, DAY) == [
        {
            "events_condition_type": "all",
            "properties_condition_type": "all",
            "from_date": "2025-03-01",
            "to_date": "2025-03-01",
        }
    ]
    assert profiles() == {"properties_condition_type": "all"}


def test_lists_may_be_excluded_given_as_text_and_repeat():
    (body,) = events(DAY, DAY, exclude_events="df_login", exclude_properties=iter(["a", "b", "a"]))

    assert (body["events"], body["events_condition_type"]) == (["df_login"], "exclude")
    assert (body["properties"], body["properties_condition_type"]) == (["a", "b"], "exclude")


def test_to_exclude_nothing_is_to_ask_for_all():
    assert events(DAY, DAY, exclude_events=[]) == events(DAY, DAY)


@pytest.mark.parametrize("identities", [True, "df_external_id", ["df_external_id"], ("df_external_id",)])
def test_the_one_identity_is_sent_when_asked_for(identities):
    assert profiles(identities=identities)["identities"] == ["df_external_id"]
    assert "identities" not in profiles(identities=False)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"events": ["a"], "exclude_events": ["b"]}, "exclude_events"),
        ({"properties": [], "exclude_properties": []}, "exclude_properties"),
        ({"events": []}, "events"),
        ({"events": [""]}, r"events\[0\]"),
        ({"events": ["a", 1]}, r"events\[1\]"),
        ({"events": ""}, "events"),
        ({"events": {"a": 1}}, "events"),
        ({"events": b"a"}, "events"),
        ({"exclude_events": 5}, "exclude_events"),
        ({"properties": ["\ud800"]}, r"properties\[0\]"),
        ({"days_per_call": 0}, "days_per_call"),
        ({"days_per_call": 31}, "days_per_call"),
        ({"days_per_call": True}, "days_per_call"),
        ({"days_per_call": 1.0}, "days_per_call"),
    ],
)
def test_bad_filters_of_events_are_named(options, field):
    with pytest.raises(InvalidInputError, match=field):
        event_export_calls(DAY, DAY, **options)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"audience": ""}, "audience"),
        ({"audience": 5}, "audience"),
        ({"identities": []}, "identities"),
        ({"identities": ["email"]}, "identities"),
        ({"identities": ["df_external_id", "email"]}, "identities"),
        ({"identities": 1}, "identities"),
        ({"properties": ["a"], "exclude_properties": ["b"]}, "exclude_properties"),
    ],
)
def test_bad_filters_of_profiles_are_named(options, field):
    with pytest.raises(InvalidInputError, match=field):
        profile_export_call(**options)


@pytest.mark.parametrize(
    "date",
    [
        "2025-02-30",
        "2025-3-1",
        "20250301",
        "2025-03-01 ",
        "\u0662025-03-01",
        "2025-W10-6",
        "",
        None,
        20250301,
        dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
    ],
)
def test_bad_dates_are_named(date):
    with pytest.raises(InvalidInputError, match="from_date"):
        event_export_calls(date, DAY)
    with pytest.raises(InvalidInputError, match="to_date"):
        event_export_calls(DAY, date)


def test_a_range_must_not_run_backwards():
    with pytest.raises(InvalidInputError, match="to_date: lies before"):
        event_export_calls("2025-03-02", "2025-03-01")


def test_a_range_is_split_into_calls_of_thirty_days():
    assert split_days("2025-01-01", "2025-01-30", 30) == [(dt.date(2025, 1, 1), dt.date(2025, 1, 30))]
    assert split_days("2025-01-01", dt.date(2025, 3, 2), 30) == [
        (dt.date(2025, 1, 1), dt.date(2025, 1, 30)),
        (dt.date(2025, 1, 31), dt.date(2025, 3, 1)),
        (dt.date(2025, 3, 2), dt.date(2025, 3, 2)),
    ]
    assert split_days(dt.date.max, dt.date.max, 30) == [(dt.date.max, dt.date.max)]


@given(st.dates(), st.integers(0, 500), st.integers(1, 30))
def test_the_calls_cover_every_day_once_and_in_order(first, length, days):
    last = dt.date.fromordinal(min(first.toordinal() + length, dt.date.max.toordinal()))

    parts = split_days(first, last, days)

    covered = [day for start, stop in parts for day in range(start.toordinal(), stop.toordinal() + 1)]
    assert covered == list(range(first.toordinal(), last.toordinal() + 1))
    assert all((stop - start).days < days for start, stop in parts)
