"""What the owner of a slot tells others of it, as only the owner can read what is there: a count and two moments.

Nothing of what waits is in it, no user and no value.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from typing import Final

import msgspec

__all__ = ["Ages", "Figures", "line_of", "read_line"]

_MOST_MARKS: Final = 1024


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits in a slot.

    Attributes:
        units: that wait.
        oldest: since when the oldest of them is known to wait, in seconds since 1970; `None` when nothing waits.
        moment: when this was so, in seconds since 1970.
    """

    units: int
    oldest: float | None
    moment: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Figures).decode


def line_of(figures: Figures) -> bytes:
    """Return the line that tells figures, with a checksum: it may be read while another one is written over it."""
    body = _encode(figures)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def read_line(line: bytes) -> Figures | None:
    """Read such a line; `None` when it is none, or not whole."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return None


class Ages:
    """Since when units wait, by their numbers, which grow with time: now and then it is noted how far they have come.

    Args:
        number: the highest number there is.
        moment: now.
    """

    def __init__(self, number: int, moment: float) -> None:
        self._numbers = [number]
        self._moments = [moment]
        self._apart = 0.0

    def note(self, number: int, moment: float) -> None:
        """Note the highest number that there is now."""
        if number <= self._numbers[-1]:
            return
        if moment - self._moments[-1] < self._apart:
            self._numbers[-1] = number
            return
        self._numbers.append(number)
        self._moments.append(moment)
        if len(self._numbers) > _MOST_MARKS:  # the longer all of it waits, the less exact it need be
            del self._numbers[:-1:2], self._moments[:-1:2]
            self._apart = 2 * (moment - self._moments[0]) / _MOST_MARKS

    def of(self, number: int) -> float:
        """Return since when a unit waits. Lower numbers are asked for no more."""
        place = min(bisect_left(self._numbers, number), len(self._numbers) - 1)
        del self._numbers[:place], self._moments[:place]
        return self._moments[0]
