"""Forms that an export can be saved in, as bytes in and bytes out.

A form is a line in `FORMATS`: the ending of the file's name, and what makes a writer for one part of the export.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Protocol, TypeAlias

import msgspec

from dfinery_async.core.columns import row_typer
from dfinery_async.core.csv_rows import CsvCopy, CsvRows, Header
from dfinery_async.errors import InvalidInputError

__all__ = ["FORMATS", "PartWriter", "WriterFactory", "format_of"]


class PartWriter(Protocol):
    """Turns one part of an export, the answer of one call, into bytes of a file."""

    @property
    def rows(self) -> int:
        """Rows written so far."""
        ...

    def begin(self, *, first: bool) -> bytes:
        """Return what stands before the rows; `first` is the part that the file begins with."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take bytes that follow the header, and return what to write.

        Raises:
            ExportError: it is no CSV; `ExportInterrupted` where the answer broke off.
        """
        ...

    def finish(self, *, complete: bool) -> bytes:
        """Check the part's end as `CsvRows.finish` does, and return what is left to write."""
        ...


WriterFactory: TypeAlias = Callable[[Header, dt.tzinfo], PartWriter]


class _CsvWriter:
    """The bytes as the server sent them, with one header."""

    def __init__(self, header: Header, zone: dt.tzinfo) -> None:
        del zone  # nothing is read as a datetime
        self._header = header
        self._body = CsvCopy(len(header.columns))
        self._newline = b"\r\n" if header.raw.endswith(b"\r\n") else b"\n"

    @property
    def rows(self) -> int:
        return self._body.rows

    def begin(self, *, first: bool) -> bytes:
        if not first:
            return b""
        return self._header.raw if self._header.raw.endswith(b"\n") else self._header.raw + self._newline

    def feed(self, data: bytes) -> bytes:
        return self._body.feed(data)

    def finish(self, *, complete: bool) -> bytes:
        # A newline that the server left out has to stand there, since rows of another part may follow.
        rest = self._body.finish(complete=complete)
        return rest + self._newline if rest else b""


class _JsonLinesWriter:
    """Typed rows, one JSON object a line; datetimes in ISO 8601 with their offset."""

    def __init__(self, header: Header, zone: dt.tzinfo) -> None:
        self._body = CsvRows(len(header.columns))
        self._type = row_typer(header.columns, zone)
        self._encode = msgspec.json.Encoder().encode_lines

    @property
    def rows(self) -> int:
        return self._body.rows

    def begin(self, *, first: bool) -> bytes:
        del first  # every line says what it is
        return b""

    def feed(self, data: bytes) -> bytes:
        return self._lines(self._body.feed(data))

    def finish(self, *, complete: bool) -> bytes:
        return self._lines(self._body.finish(complete=complete))

    def _lines(self, rows: list[list[str]]) -> bytes:
        return self._encode([self._type(row) for row in rows]) if rows else b""


FORMATS: Mapping[str, WriterFactory] = {".csv": _CsvWriter, ".jsonl": _JsonLinesWriter}
"""Forms by the ending of the file's name."""


def format_of(path: PurePath) -> WriterFactory:
    """Return the form that a file's name asks for, in any case of its letters.

    Raises:
        InvalidInputError: the ending is none of those in `FORMATS`.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InvalidInputError(f"must end in {' or '.join(FORMATS)}, which says the form", field="path")
    return FORMATS[ending]
