"""Reading CSV strictly, row by row, so that a broken row takes no other with it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from dfinery_async.cli.lines import MAX_LINE, Line, LineSplitter, too_long
from dfinery_async.core.fields import HeaderError, Table, read_header
from dfinery_async.core.mapping import SEPARATORS, TableMapping
from dfinery_async.core.records import BadLine, Kind, LineError, Record, check_registered
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.runtime.taxonomy import standard_taxonomy

__all__ = ["CsvReader"]

_MAX_ROW: Final = 1024 * 1024
_OPEN_QUOTE = (
    'a quote that is opened is never closed; a quote within a cell is written twice, and the cell in quotes: "a ""b"""'
)


class CsvReader:
    """Takes chunks of a file, gives records and bad lines.

    A quoted cell may hold line ends. A row whose quotes don't match up is given up after `max_row` bytes, or at the end
    of the file; then only its first line is bad, and reading goes on at the second.

    Args:
        kind: what the file holds.
        mapping: what its columns are, and what parts its cells.
        taxonomy: what is registered; by default it is not asked, and the standard properties have their types.
        max_line: bytes in one line.
        max_row: bytes in one row of several lines.

    Attributes:
        table: what the columns hold, once the header was read.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        mapping: TableMapping | None = None,
        taxonomy: Taxonomy | None = None,
        max_line: int = MAX_LINE,
        max_row: int = _MAX_ROW,
    ) -> None:
        self.table: Table | None = None
        self._kind: Kind = kind
        self._mapping = mapping
        self._registered = taxonomy
        self._taxonomy = taxonomy or standard_taxonomy()
        separator = "," if mapping is None or mapping.separator is None else mapping.separator
        self._separator = SEPARATORS.get(separator, separator)
        self._width = 0
        self._splitter = LineSplitter(max_line)
        self._max_line, self._max_row = max_line, max_row
        self._row: list[Line] = []
        self._row_bytes, self._in_quotes = 0, False
        if mapping is not None and mapping.header is not None:
            self._begin(mapping.header)
        csv.field_size_limit(max(max_line, max_row))  # for the whole process: the module knows no other way

    def feed(self, chunk: bytes) -> Iterator[Record | BadLine]:
        """Read the rows that `chunk` completes.

        Raises:
            HeaderError: the first row is no header that can be used.
        """
        return self._read(self._splitter.feed(chunk))

    def finish(self) -> Iterator[Record | BadLine]:
        """Read what is left when the file has ended.

        Raises:
            HeaderError: there was no header.
        """
        yield from self._read(self._splitter.finish())
        if self._row:
            self._need_header(_OPEN_QUOTE)
        while self._row:
            bad, rest = self._give_up(LineError(_OPEN_QUOTE))
            yield bad
            yield from self._read(rest)
        if self.table is None:
            raise HeaderError("is empty: its first line must name the columns")

    def _read(self, lines: Sequence[Line]) -> Iterator[Record | BadLine]:
        waiting = deque(lines)
        while waiting:
            line = waiting.popleft()
            if line.text is None:
                self._need_header("its first line is too long")
                if self._row:
                    bad, rest = self._give_up(LineError(_OPEN_QUOTE))
                    waiting.extendleft([line, *reversed(rest)])
                else:
                    bad = BadLine(line.number, too_long(self._max_line))
                yield bad
                continue
            if not self._row and (not line.text or line.text.isspace()):
                continue
            self._row.append(line)
            self._row_bytes += len(line.text)
            self._in_quotes ^= self._separator != " " and line.text.count(b'"') % 2 == 1
            if self._in_quotes and self._row_bytes <= self._max_row:
                continue
            try:
                cells = self._cells()
            except LineError as error:
                bad, rest = self._give_up(error)
                waiting.extendleft(reversed(rest))
                yield bad
                continue
            number = self._row[0].number
            self._clear()
            if self.table is None:
                self._begin(cells)
                continue
            try:
                record = self.table.record(number, cells)
                if self._registered is not None:
                    check_registered(record, self._registered)
                yield record
            except LineError as error:
                yield BadLine(number, error.reason, error.field, content=self.table.as_written(cells))

    def _begin(self, titles: Sequence[str]) -> None:
        self.table = read_header(titles, self._kind, self._taxonomy, self._mapping)
        self._width = len(titles)

    def _cells(self) -> list[str]:
        """Cut the row that is held into its cells, as many as there are columns."""
        try:
            text = b"\n".join(line.text or b"" for line in self._row)
            cells = _cut(text, self._separator, whole=not self._in_quotes)
        except LineError as error:
            self._need_header(error.reason)
            raise
        if self.table is not None and len(cells) != self._width:
            raise LineError(f"has {len(cells)} cells where the header has {self._width} columns")
        return cells

    def _need_header(self, problem: str) -> None:
        if self.table is None:
            raise HeaderError(f"has no header that can be read: {problem}")

    def _give_up(self, error: LineError) -> tuple[BadLine, list[Line]]:
        """Return the first line of the row as a bad one, and the lines after it, to be read again."""
        first, *rest = self._row
        self._clear()
        return BadLine(first.number, error.reason, text=(first.text or b"").decode(errors="replace")), rest

    def _clear(self) -> None:
        self._row, self._row_bytes, self._in_quotes = [], 0, False


def _cut(text: bytes, separator: str, *, whole: bool) -> list[str]:
    if not whole:
        raise LineError(_OPEN_QUOTE)
    if b"\x00" in text:
        raise LineError("holds a NUL byte; is the file really UTF-8?")
    try:
        if separator == " ":
            return text.decode().split()
        (row,) = csv.reader([text.decode()], strict=True, delimiter=separator)
    except UnicodeDecodeError:
        raise LineError("is not valid UTF-8") from None
    except (csv.Error, ValueError):  # ValueError: a bare carriage return makes several rows
        raise LineError(_OPEN_QUOTE) from None
    return row
