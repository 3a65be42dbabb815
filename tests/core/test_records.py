from __future__ import annotations

import datetime as dt
import random
import uuid

import msgspec
import pytest

from dfinery_async.core.line_shapes import LINES, explain_shape, record_of, row_record
from dfinery_async.core.records import BadLine, EqualRows, LineError, derive_log_id

LOGIN = {"identity": {"external_id": "u1"}, "event_name": "df_login", "event_datetime": "2025-03-02T04:11:09.120Z"}


def log_id(row, place=1) -> str:
    event = row_record(row, "events", place).event
    assert event is not None
    return event.log_id


def reason(row, kind="events") -> str:
    with pytest.raises(LineError) as caught:
        row_record(row, kind, 1)
    return str(caught.value)


class TestIds:
    def test_they_tell_contents_and_places_apart_and_nothing_else(self):
        again = dict(reversed(LOGIN.items()))
        later = {**LOGIN, "event_datetime": "2025-03-02T13:11:09.120+09:00", "event_properties": {}}
        other = {**LOGIN, "event_properties": {"a": 1}}

        assert log_id(LOGIN) == log_id(again) == log_id(later)
        assert len({log_id(LOGIN, 1), log_id(LOGIN, 2), log_id(other, 1)}) == 3
        assert all(uuid.UUID(each).version == 5 for each in (log_id(LOGIN), log_id(other)))

    def test_a_given_one_is_kept(self):
        given = "5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa"

        assert log_id({**LOGIN, "event_log_id": given.upper()}) == given
        assert log_id({**LOGIN, "event_log_id": uuid.UUID(given)}) == given

    def test_places_by_content_do_not_depend_on_the_order(self):
        rows = [{**LOGIN, "event_properties": {"n": number % 5}} for number in range(12)]
        shuffled = random.Random(7).sample(rows, len(rows))
        found = []
        for several in (rows, shuffled):
            place = EqualRows()
            found.append(sorted(log_id(row, place) for row in several))

        assert found[0] == found[1]
        assert len(set(found[0])) == 12

    def test_one_is_made_of_what_stays_the_same(self):
        assert derive_log_id("topic", 0, 7) == derive_log_id("topic", 0, 7) != derive_log_id("topic", 1, 7)


class TestRows:
    def test_an_event(self):
        record = row_record({**LOGIN, "identity": "u9", "error": object()}, "events", 1)

        assert record.identity.external_id == "u9"
        assert record.event is not None
        assert record.event.datetime == dt.datetime(2025, 3, 2, 4, 11, 9, 120000, dt.UTC)

    def test_a_profile_and_an_identity(self):
        profile = row_record({"identity": "u1", "user_properties": {"df_gender": "Male"}}, "profiles", 1)
        identity = row_record({"identity": {"email": "a@b.c"}}, "identities", 1)

        assert profile.properties == {"df_gender": "Male"}
        assert (identity.event, identity.properties) == (None, None)

    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            ("text", "a row must be a dict, not str"),
            ({}, "identity: is missing"),
            ({"identity": {}}, "event_name: is missing"),
            ({**LOGIN, "identity": {}}, "identity: needs at least one of"),
            ({**LOGIN, "identity": {"externalid": "1"}}, "identity.externalid: is no field of identity; did you mean"),
            ({**LOGIN, "identity": 7}, "identity: must be an object, not a number"),
            ({**LOGIN, "even_name": 7}, "even_name: is no field of an event; did you mean event_name?"),
            ({**LOGIN, "event_name": 7}, "event_name: must be text, not a number"),
            ({**LOGIN, "event_name": 2**70}, "event_name: must be text, not a number"),
            ({7: 7}, "names must be text"),
            ({**LOGIN, "event_properties": {7: 7}}, "event_properties: names must be text"),
            ({**LOGIN, "event_properties": {"a": float("nan")}}, "event_properties.a: NaN"),
            ({**LOGIN, "event_datetime": "yesterday"}, "event_datetime: must be a datetime such as"),
            ({**LOGIN, "event_datetime": "2025-03-02T04:11:09"}, "event_datetime: has no time zone"),
            ({**LOGIN, "event_datetime": dt.datetime(2025, 3, 2)}, "event_datetime: a datetime without a time zone"),  # noqa: DTZ001
            ({**LOGIN, "event_log_id": ""}, "event_log_id: must be a UUID"),
        ],
    )
    def test_what_is_wrong_with_an_event(self, row, expected):
        assert reason(row).startswith(expected)

    def test_what_is_wrong_with_the_others(self):
        assert reason({"identity": "u1", "user_properties": {}}, "profiles") == (
            "user_properties: must hold at least one property"
        )
        assert reason({"identity": {}, "user_properties": {"a": 1}}, "profiles").startswith("identity: needs")
        assert reason({"identity": {}}, "identities").startswith("identity: needs")
        assert reason({"identity": "u1", "x": 1}, "identities") == "x: is no field of an identity"
        profile = {"identity": "u1", "user_properties": {"a": 1}}
        assert reason(profile) == "user_properties: is a field of a profile; profiles are loaded by themselves"
        assert reason(LOGIN, "profiles") == "event_name: is a field of an event; events are loaded by themselves"


class TestLines:
    def test_a_decoded_line_becomes_a_record(self):
        line = msgspec.json.decode(msgspec.json.encode(LOGIN), type=LINES["events"])

        assert record_of(line, 3) == row_record(LOGIN, "events", 3)

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (b"7", "a line must be an object, not a number"),
            (b'{"identity": {"external_id": 1e999}}', "identity.external_id: is a number out of range"),
        ],
    )
    def test_what_is_wrong_with_a_decoded_line(self, line, expected):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.json.decode(line, type=LINES["events"])

        assert str(explain_shape(caught.value, "events")) == expected

    def test_a_bad_line_shows_no_content(self):
        bad = BadLine(3, "is missing", "event_name", content={"email": "a@b.c"})

        assert repr(bad) == "BadLine(line=3, 'event_name: is missing')"
        assert str(BadLine(3, "is missing")) == "is missing"
