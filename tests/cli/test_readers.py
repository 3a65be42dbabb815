from __future__ import annotations

import csv
import io
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from dfinery_async.cli.csvlines import CsvReader
from dfinery_async.cli.jsonlines import JsonLinesReader
from dfinery_async.cli.lines import LineSplitter, too_long
from dfinery_async.core.fields import HeaderError
from dfinery_async.core.records import BadLine, Record

LOGIN = {
    "identity": {"external_id": "u1"},
    "event_name": "df_login",
    "event_datetime": "2025-03-02T04:11:09.120Z",
}
HEADER = (
    b"identity.external_id,event_name,event_datetime,event_log_id,event_properties.df_total_purchase_amount,"
    b"event_properties.note,event_items\n"
)
ROW = b"u1,df_login,2025-03-02T04:11:09.120Z,,,,\n"


def line(**changes) -> bytes:
    content = {**LOGIN, **changes}
    return msgspec.json.encode({name: value for name, value in content.items() if value is not ...})


def read(reader, data: bytes, step: int = 1 << 20) -> list[Record | BadLine]:
    results: list[Record | BadLine] = []
    for start in range(0, len(data), step):
        results += reader.feed(data[start : start + step])
    return [*results, *reader.finish()]


def events(data: bytes, **options) -> list[Record | BadLine]:
    return read(JsonLinesReader("events", **options), data)


def rows(data: bytes, kind="events", **options) -> list[Record | BadLine]:
    return read(CsvReader(kind, **options), data)


def bad(results) -> list[str]:
    return [f"{each.line}: {each}" for each in results if isinstance(each, BadLine)]


def good(results) -> list[Any]:
    return [each for each in results if isinstance(each, Record)]


class TestLines:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", []),
            (b"a", [b"a"]),
            (b"a\n", [b"a"]),
            (b"a\r\nb\r\n", [b"a", b"b"]),
            (b"\n\na", [b"", b"", b"a"]),
            ("a\u2028b\x85c\x0bd\n".encode(), ["a\u2028b\x85c\x0bd".encode()]),
            (b"12345678\n123456789\nx\n", [b"12345678", None, b"x"]),
            (b"123456789", [None]),
            (b"1" * 100 + b"\nx", [None, b"x"]),
        ],
    )
    @pytest.mark.parametrize("step", [1, 3, 1000])
    def test_lines_end_at_line_feeds_only_and_are_bounded(self, data, expected, step):
        splitter = LineSplitter(8) if b"1234" in data or b"11" in data else LineSplitter()
        found = []
        for start in range(0, len(data), step):
            found += splitter.feed(data[start : start + step])
        found += splitter.finish()

        assert [text for _, text in found] == expected
        assert [number for number, _ in found] == list(range(1, len(expected) + 1))

    def test_a_line_that_is_too_long_is_not_held(self):
        splitter = LineSplitter(100)
        for _ in range(1000):
            splitter.feed(b"x" * 60)
            assert len(splitter._tail) <= 160


class TestJsonLines:
    def test_a_whole_event(self):
        record, *rest = good(
            events(
                line(
                    event_properties={"df_order_id": "00000001", "n": 1, "x": 1.5, "t": True, "l": ["a"]},
                    event_items=[{"df_item_id": "1"}],
                    event_log_id="5F0C7C0E-6A0E-4D0E-9D53-6B1F7C1A90AA",
                )
            )
        )

        assert rest == []
        assert record.identity.external_id == "u1"
        assert record.event.properties == {"df_order_id": "00000001", "n": 1, "x": 1.5, "t": True, "l": ["a"]}
        assert record.event.items == [{"df_item_id": "1"}]
        assert record.event.log_id == "5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa"

    def test_blank_lines_and_line_ends_are_passed_over(self):
        assert len(good(events(b"\r\n" + line() + b"\r\n  \n" + line()))) == 2

    def test_an_error_beside_is_ignored(self):
        assert len(good(events(line(error={"message": "x", "deep": [[1]]}) + b"\n" + line(error="x")))) == 2

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b'{"a":', "1: a: is no field of an event"),
            (b"{", "1: is not whole JSON: it ends too early; a line holds one whole object"),
            (b"hello", "1: is not valid JSON at byte 1"),
            (b"[]", "1: a line must be an object, not a list"),
            (b"null", "1: a line must be an object, not null"),
            (line() + b" {}", "1: is not valid JSON at byte 104"),
            (b'{"event_name":"\xff"}', "1: is not valid UTF-8"),
            (line()[:-2] + b'\x00"}', "1: holds a NUL byte; is the file really UTF-8?"),
            (line(event_properties=...)[:-1] + b',"event_properties":{"a":NaN}}', "1: NaN and infinities"),
            (line()[:-1] + b',"event_properties":{"a":1e999}}', "1: event_properties[...]: is a number out of range"),
            (b'{"event_properties":{"a":' + b"[" * 100_000, "1: is nested too deeply"),
            (line(event_name=...), "1: event_name: is missing"),
            (line(event_datetime=...), "1: event_datetime: is missing"),
            (line(identity=...), "1: identity: is missing"),
            (line(identity={}), "1: identity: needs at least one of external_id"),
            (line(identity={"user": "x"}), "1: identity.user: is no field of identity"),
            (line(identity="u1"), "1: identity: must be an object, not text"),
            (line(event_name=5), "1: event_name: must be text, not a number"),
            (line(event_name=""), "1: event_name: must not be empty"),
            (line(event_items=[1]), "1: event_items[0]: must be an object, not a number"),
            (line(event_items=[{}]), "1: event_items[0]: must have at least one property"),
            (line(event_propertis={}), "1: event_propertis: is no field of an event; did you mean event_properties?"),
            (line(event_log_id="1"), "1: event_log_id: must be a UUID"),
            (line(event_datetime="yesterday"), "1: event_datetime: must be a datetime such as"),
            (line(event_datetime="2025-03-02T04:11:09"), "1: event_datetime: has no time zone"),
            (line(event_datetime="2025-03-02"), "1: event_datetime: has no time zone"),
            (line(event_datetime="0001-01-01T00:00:00+09:00"), "1: event_datetime: lies outside the years"),
            (line(event_properties={"a": {"b": 1}}), "1: event_properties.a: the API has no nested objects"),
            (line(event_properties={"a": 2**63}), "1: event_properties.a: is outside a signed 64-bit Long"),
            (line(event_properties={"a": 2**64}), "1: event_properties.a: is outside a signed 64-bit Long"),
            (line(event_items=[{"a": 1}] * 101), "1: event_items: 101 items; the API takes at most 100"),
        ],
    )
    def test_a_bad_line_is_named_and_the_next_is_read(self, text, expected):
        results = events(text + b"\n" + line())

        assert [each[: len(expected)] for each in bad(results)] == [expected]
        assert len(good(results)) == 1

    def test_no_message_repeats_a_value(self):
        secret = "kim@example.com"
        lines = [
            line(identity={secret: "x"}),
            line(**{secret: 1}),
            line(event_datetime=secret),
            line(event_log_id=secret),
            line(event_properties={secret: {"a": 1}}),
            line(event_properties={"a": [secret, 1]}),
        ]
        results = events(b"\n".join(lines))

        assert len(results) == len(lines) == len(bad(results))
        assert secret not in repr(results)
        assert all(secret not in text for text in bad(results))

    def test_a_line_beyond_the_bound_is_one_bad_line(self):
        results = events(b"x" * 5000 + b"\n" + line(), max_line=1000)

        assert bad(results) == [f"1: {too_long(1000)}"]
        assert len(good(results)) == 1

    def test_profiles_and_identities(self):
        profile = b'{"identity":{"email":"kim@example.com"},"user_properties":{"df_name":"Kim"}}\n'
        empty = b'{"identity":{"email":"kim@example.com"},"user_properties":{}}\n'
        identity = b'{"identity":{"email":"kim@example.com","external_id":"u1"}}\n'

        (record, *rest) = read(JsonLinesReader("profiles"), profile + empty + identity)
        assert isinstance(record, Record)
        assert record.properties == {"df_name": "Kim"}
        assert bad(rest) == [
            "2: user_properties: must hold at least one property",
            "3: user_properties: is missing",
        ]
        (record, *rest) = read(JsonLinesReader("identities"), identity + profile)
        assert isinstance(record, Record)
        assert record.identity.external_id == "u1"
        assert bad(rest) == ["2: user_properties: is a field of a profile; profiles are loaded by themselves"]


class TestDerivedIds:
    def test_the_same_file_gives_the_same_ids(self):
        data = line() + b"\n" + line(event_name="df_logout") + b"\n"

        assert [r.event.log_id for r in good(events(data))] == [r.event.log_id for r in good(events(data))]

    def test_equal_lines_are_different_events(self):
        first, second = good(events(line() + b"\n" + line()))

        assert first.event.log_id != second.event.log_id
        assert uuid.UUID(first.event.log_id).version == 5

    def test_what_a_line_says_counts_and_not_how_it_is_written(self):
        spaced = b' { "event_name" : "df_login","identity":{"external_id":"u1"},"event_properties":{},"event_items":[],'
        spaced += b'"event_datetime":"2025-03-02T13:11:09.120+09:00", "error": 1 }\r\n'
        (a,), (b,) = good(events(line())), good(events(spaced))

        assert a.event.log_id == b.event.log_id

    @pytest.mark.parametrize(
        "changes",
        [
            {"event_name": "df_logout"},
            {"event_datetime": "2025-03-02T04:11:09.121Z"},
            {"identity": {"email": "u1"}},
            {"event_properties": {"a": 1}},
            {"event_items": [{"a": 1}]},
        ],
    )
    def test_other_content_gives_another_id(self, changes):
        (a,), (b,) = good(events(line())), good(events(line(**changes)))

        assert a.event.log_id != b.event.log_id

    def test_a_lone_surrogate_is_a_bad_line(self):
        results = events(line()[:-1] + b',"event_properties":{"a":"\\ud800"}}')

        assert len(bad(results)) == 1


class TestCsv:
    def test_cells_have_the_types_of_the_standard_taxonomy(self):
        results = rows(
            HEADER + b'u1,df_purchase,2025-03-02T04:11:09Z,,12.50,007,"[{""df_item_id"": ""1"", ""df_quantity"": 2}]"\n'
        )

        (record,) = good(results)
        assert bad(results) == []
        assert record.event.properties == {"df_total_purchase_amount": 12.5, "note": "007"}
        assert record.event.items == [{"df_item_id": "1", "df_quantity": 2}]

    def test_empty_cells_are_absent(self):
        (record,) = good(rows(HEADER + ROW))

        assert record.event.properties is None
        assert record.event.items is None

    def test_a_cell_may_hold_line_ends_and_quotes(self):
        (record,) = good(rows(HEADER + b'u1,df_login,2025-03-02T04:11:09Z,,,"a ""b""\r\n\nc",\r\n'))

        assert record.event.properties == {"note": 'a "b"\n\nc'}

    def test_booleans_of_a_profile(self):
        header = b"identity.email,user_properties.df_push_ads_optin,user_properties.df_birth\n"
        results = rows(header + b"a,TRUE,2000-01-01\nb,false,\nc,1,\nd,,\n", "profiles")

        assert [record.properties for record in good(results)] == [
            {"df_push_ads_optin": True, "df_birth": "2000-01-01"},
            {"df_push_ads_optin": False},
        ]
        assert bad(results) == [
            "4: user_properties.df_push_ads_optin: must be true or false",
            "5: user_properties: must hold at least one property",
        ]

    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            (b"u1\n", "2: has 1 cells where the header has 7 columns"),
            (ROW[:-1] + b",\n", "2: has 8 cells where the header has 7 columns"),
            (b'u1,"df_login,2025-03-02T04:11:09Z,,,,\n', "2: a quote that is opened is never closed"),
            (b'u1,5" disk,2025-03-02T04:11:09Z,,,,\n', "2: a quote that is opened is never closed"),
            (b'u1,"df"x,2025-03-02T04:11:09Z,,,,\n', "2: a quote that is opened is never closed"),
            (b"u1,\xff,2025-03-02T04:11:09Z,,,,\n", "2: is not valid UTF-8"),
            (b"u1,\x00,2025-03-02T04:11:09Z,,,,\n", "2: holds a NUL byte"),
            (b"u1,,2025-03-02T04:11:09Z,,,,\n", "2: event_name: is missing"),
            (b"u1,x,,,,,\n", "2: event_datetime: is missing"),
            (b",x,2025-03-02T04:11:09Z,,,,\n", "2: identity: needs at least one"),
            (b"u1,x,2025-03-02T04:11:09Z,,1_000,,\n", "2: event_properties.df_total_purchase_amount: must be a number"),
            (b'u1,x,2025-03-02T04:11:09Z,,"1,5",,\n', "2: event_properties.df_total_purchase_amount: must be a number"),
            (b"u1,x,2025-03-02T04:11:09Z,,nan,,\n", "2: event_properties.df_total_purchase_amount: must be a number"),
            (b"u1,x,2025-03-02T04:11:09Z,,1e999,,\n", "2: event_properties.df_total_purchase_amount: NaN and inf"),
            (b"u1,x,2025-03-02T04:11:09Z,,,,{}\n", "2: event_items: must be a JSON list of objects"),
            (b"u1,x,2025-03-02T04:11:09Z,z,,,\n", "2: event_log_id: must be a UUID"),
        ],
    )
    def test_a_bad_row_is_named_and_the_next_is_read(self, row, expected):
        results = rows(HEADER + row + ROW)

        assert [each[: len(expected)] for each in bad(results)] == [expected]
        assert len(good(results)) == 1

    def test_a_quote_that_never_closes_takes_no_other_row(self):
        results = rows(HEADER + ROW * 3 + b'u1,"x,,,,,\n' + ROW * 500, max_row=2000)

        assert len(good(results)) == 503
        assert [each.split(":")[0] for each in bad(results)] == ["5"]

    def test_a_bad_cell_in_a_row_of_several_lines_is_one_bad_row(self):
        results = rows(HEADER + b'u1,x,2025-03-02T04:11:09Z,,abc,"a\nb",\n' + ROW)

        assert len(bad(results)) == len(good(results)) == 1

    def test_a_long_cell(self):
        (record,) = good(rows(HEADER + b"u1,x,2025-03-02T04:11:09Z,,," + b"x" * 200_000 + b",\n"))

        assert record.event.properties == {"note": "x" * 200_000}

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            (b"", "is empty"),
            (b"\n\n", "is empty"),
            (b"u1,df_login,2025-03-02T04:11:09Z\n", "has no header"),
            (b"user,name\n", "has no column that is known: user, name"),
            (b'"identity.external_id\n', "has no header that can be read"),
            (b"\xff\n", "has no header that can be read: is not valid UTF-8"),
            (b"sep=;\n", "sep= line"),
            (b"identity.external_id;event_name;event_datetime\n", "commas, not by semicolons"),
            (b"identity.external_id,event_name,event_date\n", "'event_date'; did you mean event_datetime"),
            (b"identity.external_id,event_name,event_datetime,price\n", "called event_properties.price"),
            (b"identity.id,event_name,event_datetime\n", "unknown column 'identity.id'"),
            (b"identity.external_id,event_name,event_datetime,\n", "unknown column ''"),
            (b"identity.external_id,event_name,event_datetime,event_name\n", "event_name is there twice"),
            (b"identity.external_id,event_name\n", "event_datetime is missing"),
            (b"event_name,event_datetime\n", "no column says whose"),
        ],
    )
    @pytest.mark.parametrize("step", [5, 1 << 20])
    def test_a_useless_header_is_said(self, header, message, step):
        with pytest.raises(HeaderError, match=message):
            read(CsvReader("events"), header, step)

    def test_a_profile_needs_a_property(self):
        with pytest.raises(HeaderError, match=r"user_properties\.NAME"):
            rows(b"identity.email\n", "profiles")

    def test_an_identities_file(self):
        (record,) = good(rows(b"identity.email,identity.phone_no\na,8210\n", "identities"))

        assert record.identity.phone_no == "8210"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(data=st.binary(max_size=300), step=st.integers(1, 50))
def test_any_bytes_give_lines_or_bad_lines(data, step):
    whole = [repr(each) for each in events(data)]

    assert [repr(each) for each in read(JsonLinesReader("events"), data, step)] == whole
    assert len(whole) <= data.count(b"\n") + 1


@given(data=st.binary(max_size=300), step=st.integers(1, 50))
def test_any_bytes_below_a_header_give_rows_or_bad_rows(data, step):
    whole = [repr(each) for each in rows(HEADER + data)]

    assert [repr(each) for each in read(CsvReader("events"), HEADER + data, step)] == whole


@settings(max_examples=50)
@given(notes=st.lists(texts, max_size=10), step=st.integers(1, 60))
def test_csv_that_python_writes_is_read_again(notes, step):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for note in notes:
        writer.writerow(["u1", "x", "2025-03-02T04:11:09Z", "", "", note.replace("\r", ""), ""])
    results = read(CsvReader("events"), HEADER + file.getvalue().encode(), step)

    assert bad(results) == []
    assert [(r.event.properties or {}).get("note", "") for r in good(results)] == [n.replace("\r", "") for n in notes]


@settings(max_examples=50)
@given(notes=st.lists(texts, max_size=10), step=st.integers(1, 60))
def test_json_lines_that_python_writes_are_read_again(notes, step):
    data = b"\n".join(line(event_properties={"note": note}) for note in notes)
    results = read(JsonLinesReader("events"), data, step)

    assert [r.event.properties["note"] for r in good(results)] == notes
