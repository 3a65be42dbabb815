r"""Rows of an exported CSV, from bytes that arrive in any slices, in constant memory.

The API guide says no more of the form than "CSV", so it is read as RFC 4180 with what writers do to it: `\n` or
`\r\n`, a byte order mark or none, newlines and doubled quotes in quoted cells. An answer that broke off must never
pass for a whole one: the checks at its end are here, too.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec

from dfinery_async.core.csv_cut import MAX_RECORD, RecordCutter
from dfinery_async.core.reply import read_export_failure
from dfinery_async.errors import ExportError, ExportInterrupted

__all__ = ["MAX_RECORD", "CsvCopy", "CsvRows", "Header", "read_header", "trailing_failure"]

_BOM = b"\xef\xbb\xbf"
_SLICE = 64 * 1024  # small enough that the csv module's limit for a cell is out of reach of usual records
_TAIL = 4096  # bytes at the end among which a failure of the API's is looked for

# A header's end. The newline before it stands for the start of the file.
_FIRST_RECORD = re.compile(
    rb'\n(?>(?:[^"\n]++|"(?<=[,\n]")[^"]*+(?>(?:"(?:"|,")[^"]*+)*)"|"(?<![,\n]"))*)\n',
)
_LINES = re.compile("[^\n]*\n|[^\n]+")
_FIELD = re.compile(r'(?:"([^"]*+(?>(?:""[^"]*+)*))"|([^",\r\n][^,\r\n]*+|))(,|\r*\n|\r*\Z)')
_FAILURE = re.compile(rb'\{\s*"(?:result|message)"')
_FAILURE_LINE = re.compile(rb'^\s*\{|"(?:result|message)"\s*:', re.MULTILINE)


class Header(msgspec.Struct, frozen=True):
    """The first record of a CSV.

    Attributes:
        columns: names of the columns as the server wrote them.
        raw: the record's bytes, byte order mark and newline included.
        secrets: what no error about the answer may show, such as tokens.
    """

    columns: tuple[str, ...]
    raw: bytes
    secrets: tuple[str, ...] = ()

    def __rich_repr__(self) -> Any:
        """Secrets stay where they are."""
        yield "columns", self.columns

    def __repr__(self) -> str:
        return f"Header(columns={self.columns!r})"


def read_header(data: bytes, *, ended: bool = False, secrets: Iterable[str] = ()) -> Header | None:
    """Read the header from the begin of an answer, or return `None` while its end has not come yet.

    Args:
        data: the answer so far.
        ended: whether nothing more comes, so that the header needs no newline.
        secrets: what no error about the answer may show, whatever it repeats.

    Raises:
        ExportError: it is no CSV, or longer than `MAX_RECORD`.
        ExportInterrupted: the answer ended before its header did, or has an empty one.
    """
    match = _FIRST_RECORD.match(b"\n" + data)
    if match is None:
        if len(data) > MAX_RECORD:
            raise ExportError(f"the header is longer than {MAX_RECORD} bytes")
        if not ended:
            return None
    raw = data if match is None else data[: match.end() - 1]
    rows = _parse(_decode(raw.removeprefix(_BOM), 0))
    if rows is None:
        problem = "the header is no CSV"
        raise ExportError(problem) if match else ExportInterrupted(problem)
    if not rows or not rows[0]:
        raise ExportInterrupted("the answer has no header")
    return Header(tuple(rows[0]), raw, tuple(secrets))


class _Body:
    """What follows the header: cut into records, and checked at its end.

    Args:
        width: how many columns the header has.
        max_record: bytes of one record at the most.
        before: rows that came before, as errors count them.
        secrets: what no error may show, whatever the answer repeats.
    """

    def __init__(
        self, width: int, *, max_record: int = MAX_RECORD, before: int = 0, secrets: Iterable[str] = ()
    ) -> None:
        self._rows = before
        self._secrets = secrets
        self._width = width
        self._cutter = RecordCutter(max_record)
        self._tail = b""

    @classmethod
    def of(cls, header: Header) -> Self:
        """Make one for what follows a header."""
        return cls(len(header.columns), secrets=header.secrets)

    @property
    def rows(self) -> int:
        """How many rows came so far."""
        return self._rows

    def _cut(self, data: bytes) -> bytes:
        block = self._cutter.feed(data)
        if block:
            self._tail = (self._tail + block[-_TAIL:])[-_TAIL:]
        return block

    def _rest(self, *, complete: bool) -> bytes:
        """Return the last record where no newline ends it."""
        rest = self._cutter.rest
        message = trailing_failure(self._tail + rest[-_TAIL:], self._secrets)
        if message is not None:
            raise ExportInterrupted(message)
        if self._cutter.in_cell:
            raise ExportInterrupted(f"the answer broke off in row {self._rows + 1}, inside a quoted cell")
        if rest and not complete:
            raise ExportInterrupted(f"the answer broke off in row {self._rows + 1}")
        if not complete:
            raise ExportInterrupted("the answer ended with its connection, and nothing proves that it is whole")
        return rest

    def _read(self, block: bytes, before: int) -> list[list[str]]:
        """Parse whole records; `before` rows came before them."""
        rows = _parse(_decode(block, before))
        if rows is None or any(row[0][:1] == "{" for row in rows[-1:] if row):
            # The API's failure may stand where a row should; written over several lines, it is not even CSV.
            message = trailing_failure(self._tail, self._secrets)
            if message is not None:
                raise ExportInterrupted(message)
        if rows is None:
            if _FAILURE_LINE.search(block):
                raise ExportInterrupted(f"the answer broke off after row {before}")
            raise ExportError(f"after row {before} the answer is no CSV")
        if set(map(len, rows)) != {self._width}:
            rows = self._settle(rows, before)
        return rows

    def _settle(self, rows: list[list[str]], before: int) -> list[list[str]]:
        """Leave out blank lines, as `csv.DictReader` does, and refuse rows of another width than the header's."""
        if self._width == 1:
            rows = [row or [""] for row in rows]
        rows = [row for row in rows if row]
        for number, row in enumerate(rows, before + 1):
            if len(row) < self._width:
                raise ExportInterrupted(f"row {number} has {len(row)} fields of {self._width}: the answer broke off")
            if len(row) > self._width:
                raise ExportError(f"row {number} has {len(row)} fields, the header {self._width}")
        return rows


class CsvRows(_Body):
    """Reads what follows the header as rows of texts.

    Args:
        width: how many columns the header has.
        max_record: bytes of one record at the most.
        secrets: what no error may show, whatever the answer repeats.

    Attributes:
        rows: how many were given so far.
    """

    def feed(self, data: bytes) -> list[list[str]]:
        """Return the rows that `data` ends.

        Raises:
            ExportInterrupted: a row has fewer fields than the header, or the API's failure stands in its place.
            ExportError: it is no CSV, no UTF-8, or a row is too long or has more fields than the header.
        """
        rows: list[list[str]] = []
        for start in range(0, len(data), _SLICE):
            block = self._cut(data[start : start + _SLICE])
            if block:
                rows += self._read(block, self._rows + len(rows))
        self._rows += len(rows)
        return rows

    def finish(self, *, complete: bool = True) -> list[list[str]]:
        """Return the last row, where no newline ended it, once nothing more comes.

        Args:
            complete: whether the transport's framing proves that nothing is missing. Where it does not, the answer
                counts as cut: no row says that it is the last.

        Raises:
            ExportInterrupted: the answer broke off: a cell is open, fields are missing, or the API's failure stands
                at the end.
            ExportError: as for `feed`.
        """
        rest = self._rest(complete=complete)
        rows = self._read(rest, self._rows) if rest else []
        self._rows += len(rows)
        return rows


class CsvCopy(_Body):
    """Looks at what follows the header while it is passed on as it is, and reads only the last rows to check its end.

    It puts nothing together and keeps no more than two slices, so a copy costs one look at its bytes.

    Args:
        width: how many columns the header has.
        max_record: bytes of one record at the most.
        secrets: what no error may show, whatever the answer repeats.

    Attributes:
        rows: how many passed so far. Blank lines in the middle are counted.
    """

    def __init__(self, width: int, *, max_record: int = MAX_RECORD, secrets: Iterable[str] = ()) -> None:
        super().__init__(width, max_record=max_record, secrets=secrets)
        self._last: tuple[bytes | memoryview, ...] = ()
        self._rows_before_last = 0

    def feed(self, data: bytes) -> Sequence[bytes | memoryview]:
        """Return the records that `data` ends, in pieces, for those who pass on whole ones alone.

        Raises:
            ExportError: a row is too long.
        """
        before, held = self._cutter.records, self._cutter.held
        end = self._cutter.follow(data)
        if end == 0:
            return ()
        ends = (*(piece[-_TAIL:] for piece in held), data[max(0, end - _TAIL) : end])
        self._tail = b"".join((self._tail, *ends))[-_TAIL:]
        self._last = (*held, memoryview(data)[:end])
        self._rows_before_last = before
        self._rows = self._cutter.records
        return self._last

    def finish(self, *, complete: bool = True) -> bytes:
        """Return the last row, where no newline ended it, once nothing more comes.

        The arguments and errors are those of `CsvRows.finish`.
        """
        rest = self._rest(complete=complete)
        last = b"".join((*self._last, rest))
        if last:
            self._rows = self._rows_before_last + len(self._read(last, self._rows_before_last))
        return rest


def trailing_failure(tail: bytes, secrets: Iterable[str] = ()) -> str | None:
    """Return the message of the API's failure at the end of an answer, if there is one.

    An export that breaks after HTTP 200 was sent has no other place for it (API guide, "Detailed response": 200 with
    `client_connection_closed`). A cell cannot look the same: it would be quoted, and its quotes doubled. Of secrets in
    the message nothing is kept.
    """
    for match in _FAILURE.finditer(tail):
        message = read_export_failure(tail[match.start() :].strip(), secrets)
        if message is not None:
            return message
    return None


def _decode(block: bytes, before: int) -> str:
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        number = before + 1 + block.count(b"\n", 0, error.start)
        raise ExportError(f"row {number} or one before it is not UTF-8") from None


def _parse(text: str) -> list[list[str]] | None:
    """Parse whole records: a blank line is an empty list. `None` where it is no CSV."""
    # The csv module's limit for a cell belongs to the whole process: it is left alone, and longer texts go another way.
    if len(text) > csv.field_size_limit():
        return _parse_long(text)
    try:
        return list(csv.reader(_LINES.findall(text), strict=True))
    except csv.Error:
        return None


def _parse_long(text: str) -> list[list[str]] | None:
    """Parse as the csv module does, without its limit and without its speed."""
    rows: list[list[str]] = []
    row: list[str] = []
    position, length = 0, len(text)
    while position < length:
        match = _FIELD.match(text, position)
        if match is None:
            return None
        quoted: str | None = match[1]
        row.append(match[2] if quoted is None else quoted.replace('""', '"'))
        position = match.end()
        if match[3] != ",":
            rows.append([] if quoted is None and row == [""] else row)
            row = []
    if row:
        rows.append([*row, ""])
    return rows
