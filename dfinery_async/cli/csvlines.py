"""Reading CSV strictly, row by row, so that a broken row takes no other with it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dfinery_async.cli.columns import Column, HeaderError, read_header
from dfinery_async.cli.lines import MAX_LINE, Line, LineSplitter
from dfinery_async.core.records import (
    BadLine,
    Kind,
    LineError,
    Record,
    event_record,
    identity_record,
    profile_record,
)

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
        max_line: bytes in one line.
        max_row: bytes in one row of several lines.
    """

    def __init__(self, kind: Kind, *, max_line: int = MAX_LINE, max_row: int = _MAX_ROW) -> None:
        self._kind: Kind = kind
        self._splitter = LineSplitter(max_line)
        self._max_line, self._max_row = max_line, max_row
        self._columns: list[Column] = []
        self._row: list[Line] = []
        self._row_bytes, self._in_quotes = 0, False
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
        if not self._columns:
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
                    bad = BadLine(line.number, f"is longer than {self._max_line:,} bytes")
                yield bad
                continue
            if not self._row and (not line.text or line.text.isspace()):
                continue
            self._row.append(line)
            self._row_bytes += len(line.text)
            self._in_quotes ^= line.text.count(b'"') % 2 == 1
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
            if not self._columns:
                self._columns = read_header(cells, self._kind)
                continue
            try:
                yield self._record(number, self._parts(cells))
            except LineError as error:
                yield BadLine(number, error.reason, error.field, content=self._as_written(cells))

    def _cells(self) -> list[str]:
        """Cut the row that is held into its cells, as many as there are columns."""
        try:
            cells = _cut(b"\n".join(line.text or b"" for line in self._row), whole=not self._in_quotes)
        except LineError as error:
            self._need_header(error.reason)
            raise
        if self._columns and len(cells) != len(self._columns):
            raise LineError(f"has {len(cells)} cells where the header has {len(self._columns)} columns")
        return cells

    def _parts(self, cells: Sequence[str]) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for column, cell in zip(self._columns, cells, strict=True):
            if not cell:
                continue
            try:
                value = column.read(cell)
            except LineError as error:
                raise LineError(error.reason, column.title) from None
            if column.name:
                parts.setdefault(column.part, {})[column.name] = value
            else:
                parts[column.part] = value
        return parts

    def _record(self, line: int, parts: dict[str, Any]) -> Record:
        identity = parts.get("identity", {})
        if self._kind == "identities":
            return identity_record(identity)
        if self._kind == "profiles":
            return profile_record(identity, parts.get("user_properties", {}))
        for name in ("event_name", "event_datetime"):
            if name not in parts:
                raise LineError("is missing", name)
        return event_record(
            line,
            identity,
            name=parts["event_name"],
            moment=parts["event_datetime"],
            properties=parts.get("event_properties"),
            items=parts.get("event_items"),
            log_id=parts.get("event_log_id"),
        )

    def _need_header(self, problem: str) -> None:
        if not self._columns:
            raise HeaderError(f"has no header that can be read: {problem}")

    def _give_up(self, error: LineError) -> tuple[BadLine, list[Line]]:
        """Return the first line of the row as a bad one, and the lines after it, to be read again."""
        first, *rest = self._row
        self._clear()
        return BadLine(first.number, error.reason, text=(first.text or b"").decode(errors="replace")), rest

    def _as_written(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return a row as an object of texts, for a rejects file."""
        content: dict[str, Any] = {}
        for column, cell in zip(self._columns, cells, strict=True):
            if cell and column.name:
                content.setdefault(column.part, {})[column.name] = cell
            elif cell:
                content[column.part] = cell
        return content

    def _clear(self) -> None:
        self._row, self._row_bytes, self._in_quotes = [], 0, False


def _cut(text: bytes, *, whole: bool) -> list[str]:
    if not whole:
        raise LineError(_OPEN_QUOTE)
    if b"\x00" in text:
        raise LineError("holds a NUL byte; is the file really UTF-8?")
    try:
        (row,) = csv.reader([text.decode()], strict=True)
    except UnicodeDecodeError:
        raise LineError("is not valid UTF-8") from None
    except (csv.Error, ValueError):  # ValueError: a bare carriage return makes several rows
        raise LineError(_OPEN_QUOTE) from None
    return row
