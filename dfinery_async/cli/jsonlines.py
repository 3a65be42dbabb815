"""Reading JSON Lines: one object a line, strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from dfinery_async.cli.lines import MAX_LINE, Line, LineSplitter, too_long
from dfinery_async.cli.rejects import is_set_aside
from dfinery_async.core.fields import Table, field_names, read_header
from dfinery_async.core.line_shapes import LINES, explain_shape, record_of
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.records import BadLine, Kind, LineError, Record, check_registered
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.runtime.taxonomy import standard_taxonomy

__all__ = ["JsonLinesReader"]


_as_values = msgspec.json.Decoder(dict[str, Any]).decode
_as_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)  # msgspec lets the last two through

_SET_ASIDE = (
    'is what an earlier load could not read: "error" says why; mend what stands in "text", and put it in its place'
)

_BYTE = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)\b")


class JsonLinesReader:
    """Takes chunks of a file, gives records and bad lines.

    Args:
        kind: what the file holds.
        mapping: which keys are which fields; without one, lines have the API's form.
        taxonomy: what is registered; by default it is not asked.
        max_line: bytes in one line.

    Raises:
        HeaderError: the mapping leaves out what a line must have.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        mapping: TableMapping | None = None,
        taxonomy: Taxonomy | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        self._kind: Kind = kind
        self._registered = taxonomy
        self._titles: list[str] = []
        self._table: Table | None = None
        if mapping is not None and (mapping.columns or mapping.constants or mapping.zone):
            filled = {*mapping.columns.values(), *mapping.constants}
            self._titles = [*mapping.columns, *(name for name in field_names(kind) if name not in filled)]
            self._table = read_header(self._titles, kind, taxonomy or standard_taxonomy(), mapping)
        self._lines = LineSplitter(max_line)
        self._max_line = max_line
        self._decode = msgspec.json.Decoder(LINES[kind]).decode

    def feed(self, chunk: bytes) -> Iterator[Record | BadLine]:
        """Read the lines that `chunk` completes."""
        return self._read(self._lines.feed(chunk))

    def finish(self) -> Iterator[Record | BadLine]:
        """Read the last line, when no line end came after it."""
        return self._read(self._lines.finish())

    def _read(self, lines: list[Line]) -> Iterator[Record | BadLine]:
        for number, text in lines:
            if text is None:
                yield BadLine(number, too_long(self._max_line))
            elif text and not text.isspace():
                try:
                    record = self._record(number, text)
                    if self._registered is not None:
                        check_registered(record, self._registered)
                    yield record
                except LineError as error:
                    yield _bad_line(number, text, error)

    def _record(self, number: int, text: bytes) -> Record:
        if self._table is not None:
            try:
                content = _as_values(text)
            except _UNDECODABLE as error:
                raise self._explain(text, error) from None
            return self._table.record(number, [content.get(title) for title in self._titles])
        try:
            line = self._decode(text)
        except _UNDECODABLE as error:
            raise self._explain(text, error) from None
        return record_of(line, number)

    def _explain(self, text: bytes, error: Exception) -> LineError:
        if isinstance(error, msgspec.ValidationError):
            return explain_shape(error, self._kind)
        if isinstance(error, RecursionError):
            return LineError("is nested too deeply")
        byte = _BYTE.search(str(error))
        if isinstance(error, UnicodeError) or not _is_utf8(text):
            reason = "is not valid UTF-8"
        elif b"\x00" in text:
            reason = "holds a NUL byte; is the file really UTF-8?"
        elif _NO_NUMBER.search(text):
            reason = "NaN and infinities have no place in JSON; leave the property out"
        elif byte is None:
            reason = "is not whole JSON: it ends too early; a line holds one whole object"
        else:
            reason = f"is not valid JSON at byte {int(byte[1]) + 1}"
        return LineError(reason)


def _bad_line(number: int, text: bytes, error: LineError) -> BadLine:
    try:
        content = _as_object(text) if _is_utf8(text) else None  # what a raw value holds is not looked at
    except _UNDECODABLE:
        content = None
    if content is None:
        return BadLine(number, error.reason, error.field, text=text.decode(errors="replace"))
    if is_set_aside(content):
        return BadLine(number, _SET_ASIDE, content=content)
    return BadLine(number, error.reason, error.field, content=content)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
