"""Where the records of a CSV end, found in bytes that arrive in any slices.

A newline ends a record only outside quotes, and a quote opens a cell only at the cell's start. Bytes are enough to
tell: no other character of UTF-8 contains the bytes of a quote, a comma or a newline, so records are cut before they
are decoded, and no character is ever cut in two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dfinery_async.errors import ExportError

__all__ = ["MAX_RECORD", "RecordCutter"]

MAX_RECORD = 16 * 1024 * 1024
"""Bytes of one record at the most: what an answer without an end may fill memory with."""

# From an opening quote to the closing one, or to the end of the data. `","` stays inside, since nothing between two
# quoted cells can end a record: rows in which every cell is quoted then cost one match instead of one for each cell.
_QUOTED = re.compile(rb'"(?<=[,\n]")[^"]*+(?>(?:"(?:"|,")[^"]*+)*)("?)')

# What every writer writes: quotes come in pairs, a cell's first one at its begin and its last one at its end.
_UNUSUAL = re.compile(rb'"(?:(?<![,\n"]")|[^,\r\n"])')  # of a text in which each pair is one quote

_NEITHER = bytes(each for each in range(256) if each not in b'"\n')

_AT_ONCE = 64 * 1024  # bytes that are looked through at once: what fits a cache, and needs no new pages each time

_IN_CELL = b',"'  # what the next slice has to be read after, when the last one ended inside a quoted cell,
_AFTER_QUOTE = b',""'  # or after a quote that may be the first of two


class RecordCutter:
    """Takes slices of a CSV and gives the whole records in them; what is left over waits for the next slice.

    Args:
        max_record: bytes of one record at the most.

    Attributes:
        records: newlines outside quotes so far. A blank line counts, a last record without a newline does not.
    """

    def __init__(self, max_record: int = MAX_RECORD) -> None:
        self.records: int = 0
        self._max_record = max_record
        self._before = b"\n"
        self._held: list[bytes] = []
        self._held_size = 0

    @property
    def in_cell(self) -> bool:
        """Whether a quoted cell is open."""
        return self._before == _IN_CELL

    @property
    def held(self) -> Sequence[bytes]:
        """The begin of a record whose end has not come yet, in pieces."""
        return self._held

    @property
    def rest(self) -> bytes:
        """The begin of a record whose end has not come yet."""
        return b"".join(self._held)

    def feed(self, data: bytes) -> bytes:
        """Return the records that `data` ends, with what was left over before them.

        Raises:
            ExportError: a record is longer than `max_record`.
        """
        held = self._held
        end = self.follow(data)
        if end == 0:
            return b""
        if end == len(data) and not held:
            return data
        return b"".join((*held, memoryview(data)[:end]))

    def follow(self, data: bytes) -> int:
        """Return where the last record ends that ends in `data`, 0 where none does, without putting any together.

        What stands behind it is held, and `held` is new then.

        Raises:
            ExportError: a record is longer than `max_record`.
        """
        end = self._last_end(data)
        if end > 0:
            self._held, self._held_size = [], 0
        if end < len(data):
            self._hold(data[end:])
        return end

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > self._max_record:
            raise ExportError(f"record {self.records + 1} is longer than {self._max_record} bytes")

    def _last_end(self, data: bytes) -> int:
        """Return where the last record ends that ends in `data`, 0 where none does."""
        if not data:
            return 0
        if b'"' not in data and len(self._before) == 1:
            self._before = data[-1:]
            self.records += data.count(b"\n")
            return data.rfind(b"\n") + 1
        return self._last_end_among_quotes(data)

    def _last_end_among_quotes(self, data: bytes) -> int:
        end = data.rfind(b"\n") + 1
        *lines, _ = _marks(self._before + data[:_AT_ONCE], data).split(b"\n")
        if end > 0 and not any(len(quotes) % 2 for quotes in set(lines)):
            # Every line has its quotes in pairs, so no cell goes over a line's end. What follows the last one is looked
            # at by itself.
            self.records += len(lines) - self._before.count(b"\n")
            self._before = b"\n"
            if end < len(data):
                self._last_end(data[end:])
            return end
        shift = len(self._before)
        text = self._before + data
        open_at = text.rfind(b'"') if text.count(b'"') % 2 else len(text)
        pairs = b'"'.join(text[:open_at].split(b'"')[::2])
        if _UNUSUAL.search(pairs + text[open_at : open_at + 1]):
            return self._last_end_among_unusual_quotes(text, shift)
        self.records += pairs.count(b"\n") - text.count(b"\n", 0, shift)
        if open_at < len(text):
            self._before = _IN_CELL
        else:
            self._before = _AFTER_QUOTE if text.endswith(b'"') else text[-1:]
        right = open_at
        while (newline := text.rfind(b"\n", shift, right)) >= 0:
            if text.count(b'"', newline, right) % 2 == 0:
                return newline + 1 - shift
            right = text.rfind(b'"', 0, newline)
        return 0

    def _last_end_among_unusual_quotes(self, text: bytes, shift: int) -> int:
        """Do the same cell by cell, ten times as slowly: a quote within a cell that has none around it is one byte."""
        cells: list[tuple[int, int]] = []
        inside = 0
        closed = b'"'
        for cell in _QUOTED.finditer(text):
            start, stop = cell.span()
            cells.append((start, stop))
            inside += text.count(b"\n", start, stop)
            closed = cell[1]
        self.records += text.count(b"\n", shift) - inside
        right = len(text)
        if not closed:
            self._before = _IN_CELL
        elif cells and cells[-1][1] == right:
            self._before = _AFTER_QUOTE
        else:
            self._before = text[-1:]
        for start, stop in reversed(cells):
            newline = text.rfind(b"\n", stop, right)
            if newline >= 0:
                return newline + 1 - shift
            right = start
        return max(text.rfind(b"\n", shift, right) + 1 - shift, 0)


def _marks(first: bytes, data: bytes) -> bytes:
    """Return the quotes and newlines of `data` in order, where `first` stands for its begin."""
    if len(data) <= _AT_ONCE:
        return first.translate(None, _NEITHER)
    slices = [
        data[start : start + _AT_ONCE].translate(None, _NEITHER) for start in range(_AT_ONCE, len(data), _AT_ONCE)
    ]
    return b"".join((first.translate(None, _NEITHER), *slices))
