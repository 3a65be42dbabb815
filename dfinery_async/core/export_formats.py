"""Forms that an export can be saved in: what a file's name asks for, and texts as bytes in and bytes out."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Literal, Protocol, TypeAlias

import msgspec

from dfinery_async.core.columns import Kinds, row_typer
from dfinery_async.core.csv_rows import CsvCopy, CsvRows, Header
from dfinery_async.errors import InvalidInputError

__all__ = ["ENDINGS", "Form", "PartWriter", "WriterFactory", "form_of", "text_writer"]

_BOM = b"\xef\xbb\xbf"


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


WriterFactory: TypeAlias = Callable[[Header, dt.tzinfo, Kinds], PartWriter]


class Form(msgspec.Struct, frozen=True):
    """How a file is written.

    Attributes:
        name: `csv`, `jsonl` or `parquet`.
        packing: what the whole file is compressed with, if anything.
        spreadsheet_safe: whether cells that a spreadsheet would take for formulas are disarmed.
    """

    name: Literal["csv", "jsonl", "parquet"]
    packing: Literal["gz", "zst"] | None = None
    spreadsheet_safe: bool = False


class _CsvWriter:
    """The bytes as the server sent them, with one header."""

    def __init__(self, header: Header, zone: dt.tzinfo, kinds: Kinds) -> None:
        del zone, kinds  # nothing is read
        self._header = header
        self._body = CsvCopy.of(header)
        self._newline = _newline(header)

    @property
    def rows(self) -> int:
        return self._body.rows

    def begin(self, *, first: bool) -> bytes:
        if not first:
            return b""
        return self._header.raw if self._header.raw.endswith(b"\n") else self._header.raw + self._newline

    def feed(self, data: bytes) -> bytes:
        self._body.feed(data)
        return data

    def finish(self, *, complete: bool) -> bytes:
        # A newline that the server left out has to stand there, since rows of another part may follow.
        return self._newline if self._body.finish(complete=complete) else b""


class _SafeCsvWriter:
    """The server's texts, with a `'` before those that a spreadsheet would run."""

    def __init__(self, header: Header, zone: dt.tzinfo, kinds: Kinds) -> None:
        del zone, kinds
        self._header = header
        self._body = CsvRows.of(header)
        self._newline = _newline(header).decode()

    @property
    def rows(self) -> int:
        return self._body.rows

    def begin(self, *, first: bool) -> bytes:
        mark = _BOM if self._header.raw.startswith(_BOM) else b""
        return mark + self._lines([list(self._header.columns)]) if first else b""

    def feed(self, data: bytes) -> bytes:
        return self._lines(self._body.feed(data))

    def finish(self, *, complete: bool) -> bytes:
        return self._lines(self._body.finish(complete=complete))

    def _lines(self, rows: list[list[str]]) -> bytes:
        lines = _Lines()
        csv.writer(lines, lineterminator=self._newline).writerows([_harmless(cell) for cell in row] for row in rows)
        return "".join(lines).encode()


class _Lines(list[str]):
    """What the csv module takes for a file."""

    write = list[str].append


class _JsonLinesWriter:
    """Typed rows, one JSON object a line; datetimes in ISO 8601 with their offset."""

    def __init__(self, header: Header, zone: dt.tzinfo, kinds: Kinds) -> None:
        self._body = CsvRows.of(header)
        self._type = row_typer(header.columns, zone, kinds)
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


ENDINGS: Mapping[str, Form] = {
    **{f".{name}": Form(name) for name in ("csv", "jsonl", "parquet")},
    **{f".{name}.{packing}": Form(name, packing) for name in ("csv", "jsonl") for packing in ("gz", "zst")},
}
"""Forms by the ending of the file's name. Parquet compresses its columns itself, with zstd."""

_WRITERS: Mapping[str, WriterFactory] = {"csv": _CsvWriter, "jsonl": _JsonLinesWriter}

# What spreadsheets take for a formula's begin (OWASP, "CSV Injection"), and a negative number, which is none.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NEGATIVE = re.compile(r"-[0-9]+(?:\.[0-9]+)?")


def form_of(path: PurePath, *, spreadsheet_safe: bool = False) -> Form:
    """Return the form that a file's name asks for, in any case of its letters.

    Raises:
        InvalidInputError: the ending is none of those in `ENDINGS`, or is to be safe for spreadsheets and is no CSV.
    """
    name = path.name.lower()
    found = [ending for ending in ENDINGS if name.endswith(ending) and name != ending]
    if not found:
        raise InvalidInputError(f"must end in one of {', '.join(ENDINGS)}, which says the form", field="path")
    form = ENDINGS[found[0]]
    if spreadsheet_safe and form.name != "csv":
        raise InvalidInputError("only CSV needs to be made safe for spreadsheets", field="spreadsheet_safe")
    return msgspec.structs.replace(form, spreadsheet_safe=spreadsheet_safe)


def text_writer(form: Form) -> WriterFactory:
    """Return what makes writers of a form of text, one for each part."""
    return _SafeCsvWriter if form.spreadsheet_safe else _WRITERS[form.name]


def _newline(header: Header) -> bytes:
    return b"\r\n" if header.raw.endswith(b"\r\n") else b"\n"


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and _NEGATIVE.fullmatch(cell) is None else cell
