from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path

import pytest

from dfinery_async.core.csv_rows import read_header
from dfinery_async.core.export_formats import Form, form_of, text_writer
from dfinery_async.core.taxonomy import DataType
from dfinery_async.errors import InvalidInputError

KINDS = {
    "df_event_datetime": DataType.DATETIME,
    "df_order_id": DataType.STRING,
    "df_total_purchase_amount": DataType.DOUBLE,
}
KST = dt.timezone(dt.timedelta(hours=9))


def write(form, *parts, **options):
    out = b""
    rows = 0
    for index, data in enumerate(parts):
        header = read_header(data, ended=True)
        assert header is not None
        writer = text_writer(Form(form, **options))(header, KST, KINDS)
        out += writer.begin(first=index == 0)
        out += writer.feed(data[len(header.raw) :])
        out += writer.finish(complete=True)
        rows += writer.rows
    return out, rows


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", Form("csv")),
        ("a.b.CSV", Form("csv")),
        ("dir.jsonl/a.csv", Form("csv")),
        ("a.jsonl", Form("jsonl")),
        ("a.Parquet", Form("parquet")),
        ("a.csv.gz", Form("csv", "gz")),
        ("a.csv.ZST", Form("csv", "zst")),
        ("a.jsonl.gz", Form("jsonl", "gz")),
    ],
)
def test_the_ending_says_the_form(name, form):
    assert form_of(Path(name)) == form


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", ".csv", ".csv.gz", "a.parquet.gz", "csv"])
def test_other_endings_are_refused_with_those_that_work(name):
    with pytest.raises(InvalidInputError, match=r"path: must end in one of \.csv, \.jsonl, \.parquet, \.csv\.gz"):
        form_of(Path(name))


def test_only_csv_is_made_safe_for_spreadsheets():
    assert form_of(Path("a.csv.gz"), spreadsheet_safe=True) == Form("csv", "gz", spreadsheet_safe=True)
    with pytest.raises(InvalidInputError, match="spreadsheet_safe"):
        form_of(Path("a.jsonl"), spreadsheet_safe=True)


def test_cells_that_a_spreadsheet_would_run_are_disarmed():
    cells = ["=1+1", "+8210", "-1.5", "-1+1", "@a", "\t=1", "\uff1dA1", "\uff0b1", "\uff0d1", "\uff20a", "a=1", "", "'"]
    data = "\ufeff=a," + ",".join(f"c{n}" for n in range(len(cells) - 1)) + "\r\n" + ",".join(cells) + "\r\n"
    written, rows = write(
        "csv", data.encode(), data.encode() + b'"-\r\n1",' + b"," * (len(cells) - 2), spreadsheet_safe=True
    )
    header, first, second, third = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")))

    assert written.startswith(b"\xef\xbb\xbf")
    assert header[0] == "'=a"
    assert first == second
    assert first == ["'=1+1", "'+8210", "-1.5", "'-1+1", "'@a", "'\t=1", "'\uff1dA1", "'\uff0b1", "'\uff0d1",
                     "'\uff20a", "a=1", "", "'"]  # fmt: skip
    assert third[0] == "'-\r\n1"
    assert rows == 3


def test_csv_is_what_the_server_sent():
    data = b'\xef\xbb\xbfa,b\r\n"x\n""",FALSE\r\n1,2\r\n'

    assert write("csv", data) == (data, 2)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_csv_of_several_parts_has_one_header_and_whole_lines(newline):
    first = newline.join([b"a,b", b"1,2", b"3,4"])
    second = newline.join([b"a,b", b"5,6", b""])

    assert write("csv", first, second) == (newline.join([b"a,b", b"1,2", b"3,4", b"5,6", b""]), 3)


def test_csv_of_a_header_alone_ends_its_line():
    assert write("csv", b"a,b", b"a,b\n1,2") == (b"a,b\n1,2\n", 1)


def test_json_lines_hold_typed_rows():
    data = b'df_event_datetime,df_order_id,df_total_purchase_amount,tags\n2025.1.6 10:35,007,4000,"[""a""]"\n,,,null'

    assert write("jsonl", data) == (
        (
            b'{"df_event_datetime":"2025-01-06T10:35:00+09:00","df_order_id":"007",'
            b'"df_total_purchase_amount":4000.0,"tags":["a"]}\n'
            b'{"df_event_datetime":null,"df_order_id":null,"df_total_purchase_amount":null,"tags":null}\n'
        ),
        2,
    )
