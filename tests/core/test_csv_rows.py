from __future__ import annotations

import csv
import io
from contextlib import contextmanager, suppress
from itertools import chain, pairwise

import pytest
from hypothesis import example, given, settings, strategies as st

from dfinery_async.core import csv_rows
from dfinery_async.core.csv_cut import RecordCutter
from dfinery_async.core.csv_rows import CsvCopy, CsvRows, read_header, trailing_failure
from dfinery_async.errors import ExportError, ExportInterrupted

FAILURE = b'{"result":"fail","message":"client_connection_closed"}'
PRETTY_FAILURE = b'{\n"result": "fail",\n"message": "unknown_error"\n}'

# Cells of the characters that matter to CSV, and of anything at all.
CELLS = st.text(st.sampled_from('",\r\n {[a값\0\ufeff\u2028')) | st.text(st.characters(codec="utf-8"), max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))
CUTS = st.lists(st.integers(0, 400))
ENDS = st.sampled_from(["\n", "\r\n"])
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])


def written(rows, end="\r\n", quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    for row in rows:
        # Before Python 3.13 the csv module leaves a lone \r unquoted, and then can't read it.
        writer.writerow([cell.replace("\r", "\r\n") if end == "\n" else cell for cell in row])
    return out.getvalue().encode()


def csv_module_reads(data):
    return [row for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True) if row]


def slices(data, cuts):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def read_all(reader, pieces, *, complete=True):
    rows = []
    for piece in pieces:
        rows += reader.feed(piece)
    return rows + reader.finish(complete=complete)


@contextmanager
def cell_limit(size):
    before = csv.field_size_limit(size)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@given(TABLES, CUTS, ENDS, QUOTING)
@example([['a"'], ['""']], [0, 1, 2, 3, 4, 5, 6, 7, 8], "\n", csv.QUOTE_MINIMAL)
def test_any_csv_in_any_slices_is_read_as_the_csv_module_does(table, cuts, end, quoting):
    data = written(table, end, quoting)
    reader = CsvRows(len(table[0]))

    rows = read_all(reader, slices(data, cuts))

    assert rows == csv_module_reads(data)
    assert reader.rows == len(rows)


@given(TABLES, CUTS, ENDS, QUOTING)
def test_long_cells_are_read_as_short_ones(table, cuts, end, quoting):
    data = written(table, end, quoting)
    expected = csv_module_reads(data)

    with cell_limit(0):
        assert read_all(CsvRows(len(table[0])), slices(data, cuts)) == expected


@given(TABLES, CUTS, ENDS, QUOTING)
def test_a_copy_is_the_same_bytes_with_the_rows_counted(table, cuts, end, quoting):
    data = written(table, end, quoting)
    copy = CsvCopy(len(table[0]))

    out = b"".join(chain.from_iterable(copy.feed(piece) for piece in slices(data, cuts))) + copy.finish()

    assert out == data
    assert copy.rows == len(csv_module_reads(data))


def test_a_last_row_without_a_newline_is_told():
    copy = CsvCopy(2)
    copy.feed(b"a,b\nc,")
    copy.feed(b"d")

    assert copy.finish() == b"c,d"
    assert copy.rows == 2


@given(st.text(st.sampled_from('",\nab\r{'), max_size=40), CUTS)
def test_no_text_raises_anything_but_the_exports_errors(text, cuts):
    pieces = slices(text.encode(), cuts)

    with suppress(ExportError):
        read_all(CsvRows(2), pieces)
    copy = CsvCopy(2)
    with suppress(ExportError):
        out = b"".join(chain.from_iterable([copy.feed(piece) for piece in pieces]))
        assert out + copy.finish() == text.encode()


@given(st.text(st.sampled_from('",\na'), max_size=12))
def test_what_the_csv_module_refuses_is_refused_at_any_length(text):
    try:
        expected = list(csv.reader(text.splitlines(keepends=True), strict=True))
    except csv.Error:
        expected = None

    assert csv_rows._parse(text) == expected
    assert csv_rows._parse_long(text) == expected


def test_quotes_inside_unquoted_cells_are_text():
    data = b'5" disk,a\n"x\ny",b\n6"",c\n'

    for width in range(1, len(data)):
        pieces = [data[start : start + width] for start in range(0, len(data), width)]
        assert read_all(CsvRows(2), pieces) == [['5" disk', "a"], ["x\ny", "b"], ['6""', "c"]]


def test_a_record_without_an_end_is_bounded():
    for kind in (CsvRows, CsvCopy):
        reader = kind(1, max_record=100)
        with pytest.raises(ExportError, match="record 2 is longer than 100 bytes"):
            for piece in [b"a\n", *[b"x" * 30] * 4]:
                reader.feed(piece)


def test_a_cell_may_be_longer_than_the_csv_modules_limit():
    cell = '"' * 200_000
    before = csv.field_size_limit()

    assert read_all(CsvRows(2), slices(written([[cell, "b"]]), range(0, 400_000, 65_000))) == [[cell, "b"]]
    assert csv.field_size_limit() == before


def test_blank_lines_are_left_out():
    copy = CsvCopy(2)

    assert read_all(CsvRows(2), [b"a,b\n\n\r\nc,d\n\n"]) == [["a", "b"], ["c", "d"]]
    assert b"".join(copy.feed(b"a,b\n\n\n")) + copy.finish() == b"a,b\n\n\n"
    assert copy.rows == 1


def test_a_blank_line_of_a_single_column_is_an_empty_cell():
    assert read_all(CsvRows(1), [b"a\n\nb\n"]) == [["a"], [""], ["b"]]


@pytest.mark.parametrize("tail", [FAILURE, FAILURE + b"\n", PRETTY_FAILURE, PRETTY_FAILURE + b"\r\n"])
@pytest.mark.parametrize("rows", [b"", b"a,b\n", b'a,b\n"x', b"a,b\nc", b"a,b\nc,"])
@pytest.mark.parametrize("complete", [True, False])
def test_the_apis_failure_at_the_end_is_an_interruption(rows, tail, complete):
    data = rows + tail
    for width in (1, 3, 7, 1000):
        pieces = [data[start : start + width] for start in range(0, len(data), width)]
        with pytest.raises(ExportInterrupted):
            read_all(CsvRows(2), pieces, complete=complete)
        copy = CsvCopy(2)
        with pytest.raises(ExportInterrupted):
            for piece in pieces:
                copy.feed(piece)
            copy.finish(complete=complete)


def test_the_apis_failure_says_its_message():
    with pytest.raises(ExportInterrupted, match="client_connection_closed"):
        read_all(CsvRows(2), [b"a,b\n" + FAILURE + b"\n"])


def test_a_failure_that_has_as_many_fields_as_a_row_is_still_one():
    with pytest.raises(ExportInterrupted, match="unknown_error"):
        CsvRows(2).feed(b'a,b\n{"result": "fail", "message": "unknown_error"}\n')


def test_a_cell_that_looks_like_a_failure_is_none():
    data = written([["a", FAILURE.decode()], ["{b", "c"]])

    assert read_all(CsvRows(2), [data]) == [["a", FAILURE.decode()], ["{b", "c"]]
    assert trailing_failure(data) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\nc", "row 2 has 1 fields of 2"),
        (b"a,b\nc\n", "row 2 has 1 fields of 2"),
        (b'a,b\n"c', "row 2, inside a quoted cell"),
        (b'a,b\n"c","d', "row 2, inside a quoted cell"),
        (b'a,b\n"c","d""', "row 2, inside a quoted cell"),
        (b"a,b\n{\n", "row 2 has 1 fields"),
        (b'a,b\n{\n"result": "fail",\n', "after row 0"),
    ],
)
def test_an_end_that_is_none_is_an_interruption(data, message):
    with pytest.raises(ExportInterrupted, match=message):
        read_all(CsvRows(2), [data])


def test_what_framing_does_not_prove_whole_needs_its_last_newline():
    for reader in (CsvRows(2), CsvCopy(2)):
        reader.feed(b"a,b\nc,d")
        with pytest.raises(ExportInterrupted, match="row 2"):
            reader.finish(complete=False)
    assert read_all(CsvRows(2), [b"a,b\nc,d"]) == [["a", "b"], ["c", "d"]]
    with pytest.raises(ExportInterrupted, match="nothing proves that it is whole"):
        read_all(CsvRows(2), [b"a,b\nc,d\n"], complete=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\nc,d,e\n", "row 2 has 3 fields, the header 2"),
        (b'a,b\n"c"d,e\n', "after row 0 the answer is no CSV"),
        (b"a,b\nc\rd,e\n", "after row 0 the answer is no CSV"),
        (b"a,b\nc,\xff\n", "row 2 or one before it is not UTF-8"),
    ],
)
def test_what_is_no_csv_is_an_error_that_is_not_retried(data, message):
    with pytest.raises(ExportError, match=message) as caught:
        read_all(CsvRows(2), [data])

    assert not caught.value.retryable
    assert caught.value.__cause__ is None


def test_errors_name_rows_and_never_show_cells():
    for data in (b"secret,b\nsecret\n", b'"secret"secret,b\n', b"secret\xff,b\n"):
        with pytest.raises(ExportError) as caught:
            read_all(CsvRows(2), [data])
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "columns", "raw"),
    [
        (b"a,b\nc,d\n", ("a", "b"), b"a,b\n"),
        (b"\xef\xbb\xbfa,b\r\nc", ("a", "b"), b"\xef\xbb\xbfa,b\r\n"),
        (b'"a\nb","c""d"\n"e', ("a\nb", 'c"d'), b'"a\nb","c""d"\n'),
        ("가격,x\n".encode(), ("가격", "x"), "가격,x\n".encode()),
        (b'a"b,c\n', ('a"b', "c"), b'a"b,c\n'),
        (b"a\n", ("a",), b"a\n"),
    ],
)
def test_a_header_is_known_as_soon_as_it_ends(data, columns, raw):
    for end in range(len(raw)):
        assert read_header(data[:end]) is None
    header = read_header(data)

    assert header is not None
    assert (header.columns, header.raw) == (columns, raw)


def test_a_header_without_rows_needs_no_newline_at_the_end():
    header = read_header(b"a,b", ended=True)

    assert header is not None
    assert header.columns == ("a", "b")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b'a,"b'])
def test_an_answer_that_ends_in_its_header_is_interrupted(data):
    with pytest.raises(ExportInterrupted):
        read_header(data, ended=True)


def test_headers_that_are_none_are_refused():
    with pytest.raises(ExportInterrupted, match="no header"):
        read_header(b"\na,b\n")
    with pytest.raises(ExportError, match="no CSV"):
        read_header(b'"a"b\n')
    with pytest.raises(ExportError, match="longer"):
        read_header(b"a" * (csv_rows.MAX_RECORD + 1))


def test_a_million_columns_are_read():
    names = ",".join(f"c{number}" for number in range(1_000_000)).encode() + b"\n"
    header = read_header(names)

    assert header is not None
    assert len(header.columns) == 1_000_000
    assert len(read_all(CsvRows(1_000_000), [b"," * 999_999 + b"\n"])[0]) == 1_000_000


def test_every_cut_of_an_answer_is_seen_unless_it_ends_a_row():
    rows = [["1", 'quo"ted', "two\nlines", "", "값"], ["2", "", "x,y", "null", '["a","b"]']] * 40
    data = written(rows)[:4096]
    data = data[: data.rfind(b"\r\n1,") + 2]
    ends = {0, len(data)}
    cutter = RecordCutter()
    ends |= {index + 1 for index in range(len(data)) if cutter.feed(data[index : index + 1])}

    for cut in set(range(len(data))) - ends:
        with pytest.raises(ExportError):
            read_all(CsvRows(5), [data[:cut]], complete=False)
        copy = CsvCopy(5)
        copy.feed(data[:cut])
        with pytest.raises(ExportError):
            copy.finish(complete=False)
    assert len(ends) == data.count(b'lines",,') + data.count(b'null,"[') + 1


@settings(max_examples=25)
@given(TABLES, ENDS, QUOTING)
def test_quotes_in_more_bytes_than_are_looked_at_at_once_are_found_as_in_few(table, end, quoting):
    data = written(table * (1 + 150_000 // max(1, len(written(table, end, quoting)))), end, quoting)
    together, apart = RecordCutter(), RecordCutter()

    assert together.feed(data) == b"".join(apart.feed(piece) for piece in slices(data, range(0, len(data), 7000)))
    assert together.records == apart.records


def test_the_cutter_says_what_is_open():
    cutter = RecordCutter()

    assert cutter.feed(b"") == b""
    assert cutter.feed(b'a,"b\n') == b""
    assert cutter.in_cell
    assert cutter.feed(b'"') == b""
    assert not cutter.in_cell
    assert cutter.feed(b'"') == b""
    assert cutter.in_cell
    assert cutter.feed(b'",c\nd,"e\n",f') == b'a,"b\n""",c\n'
    assert cutter.rest == b'd,"e\n",f'
    assert cutter.records == 1


def test_a_header_shows_its_columns_and_none_of_the_secrets_that_it_carries():
    header = read_header(b"a,b\r\n", secrets=["token-1"])
    assert header is not None
    assert header.secrets == ("token-1",)
    assert repr(header) == "Header(columns=('a', 'b'))"
    assert list(header.__rich_repr__()) == [("columns", ("a", "b"))]


def test_secrets_that_a_failure_at_the_end_repeats_are_not_shown():
    tail = b'1,2\r\n{"result":"fail","message":"no such token-1"}'
    assert trailing_failure(tail, ["token-1"]) == "no such <token>"
    assert trailing_failure(tail) == "no such token-1"
