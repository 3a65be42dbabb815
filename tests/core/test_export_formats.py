from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from dfinery_async.core.csv_rows import read_header
from dfinery_async.core.export_formats import FORMATS, format_of
from dfinery_async.errors import InvalidInputError

KST = dt.timezone(dt.timedelta(hours=9))


def write(ending, *parts):
    out = b""
    rows = 0
    for index, data in enumerate(parts):
        header = read_header(data, ended=True)
        assert header is not None
        writer = FORMATS[ending](header, KST)
        out += writer.begin(first=index == 0)
        out += writer.feed(data[len(header.raw) :])
        out += writer.finish(complete=True)
        rows += writer.rows
    return out, rows


@pytest.mark.parametrize("name", ["a.csv", "a.b.CSV", "dir.jsonl/a.csv"])
def test_the_ending_says_the_form(name):
    assert format_of(Path(name)) is FORMATS[".csv"]


@pytest.mark.parametrize("name", ["a", "a.txt", "a.csv.gz", ".csv", "a.parquet"])
def test_other_endings_are_refused_with_those_that_work(name):
    with pytest.raises(InvalidInputError, match=r"path: must end in \.csv or \.jsonl"):
        format_of(Path(name))


def test_csv_is_what_the_server_sent():
    data = b'\xef\xbb\xbfa,b\r\n"x\n""",FALSE\r\n1,2\r\n'

    assert write(".csv", data) == (data, 2)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_csv_of_several_parts_has_one_header_and_whole_lines(newline):
    first = newline.join([b"a,b", b"1,2", b"3,4"])
    second = newline.join([b"a,b", b"5,6", b""])

    assert write(".csv", first, second) == (newline.join([b"a,b", b"1,2", b"3,4", b"5,6", b""]), 3)


def test_csv_of_a_header_alone_ends_its_line():
    assert write(".csv", b"a,b", b"a,b\n1,2") == (b"a,b\n1,2\n", 1)


def test_json_lines_hold_typed_rows():
    data = b'df_event_datetime,df_order_id,df_total_purchase_amount,tags\n2025.1.6 10:35,007,4000,"[""a""]"\n,,,null'

    assert write(".jsonl", data) == (
        (
            b'{"df_event_datetime":"2025-01-06T10:35:00+09:00","df_order_id":"007",'
            b'"df_total_purchase_amount":4000.0,"tags":["a"]}\n'
            b'{"df_event_datetime":null,"df_order_id":null,"df_total_purchase_amount":null,"tags":null}\n'
        ),
        2,
    )
