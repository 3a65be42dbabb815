r"""Cutting a stream of bytes into lines, with a bound on what is held.

Lines end at b"\n" and nowhere else: `str.splitlines` would also cut at U+2028, U+0085 and other characters that JSON
texts may hold.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MAX_LINE", "Line", "LineSplitter", "too_long"]

MAX_LINE = 8 * 1024 * 1024
"""Bytes in one line. A request of 100 events is bounded to one MiB, so that nothing that could be sent is longer."""


class Line(NamedTuple):
    """One line: its number, counted from 1, and its bytes without the line end; `None` when it was too long."""

    number: int
    text: bytes | None


class LineSplitter:
    """Takes chunks, gives lines. A line that is too long is passed over without being held."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max = max_line
        self._number = 0
        self._tail = b""
        self._too_long = False

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that `chunk` completes."""
        *whole, tail = chunk.split(b"\n")
        lines = [self._end(part) for part in whole]
        if not self._too_long:
            self._tail += tail
            if len(self._tail) > self._max:
                self._tail, self._too_long = b"", True
        return lines

    def finish(self) -> list[Line]:
        """Return the last line, when no line end came after it."""
        return [self._end(b"")] if self._tail or self._too_long else []

    def _end(self, part: bytes) -> Line:
        self._number += 1
        text = self._tail + part
        too_long = self._too_long or len(text) > self._max
        self._tail, self._too_long = b"", False
        return Line(self._number, None if too_long else text.removesuffix(b"\r"))


def too_long(max_line: int) -> str:
    """Say what is wrong with a line that was passed over."""
    return f"is longer than {max_line:,} bytes, so that it was passed over, and nothing of it is kept"
