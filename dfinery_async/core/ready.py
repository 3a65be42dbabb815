"""Who is sent next: the user with the longest backlog, so that a hot user costs no throughput.

One request of a user is in the air at a time. A user with many events is then the bound of the whole run unless it is
served whenever it can be; users with few events fit in between. So lanes stand in levels by the power of two of their
rank, the highest level goes first, and within a level the one that waited longest. So that a cold lane never starves,
every eighth turn goes to the lane that waited longest of all. All steps take constant time: a lane that moves leaves
its place in the line behind, empty.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Ready"]

_TURNS_PER_OLDEST = 8
_FEWEST_EMPTY = 64
_LOWEST = 1 << 1  # `filled` where all have rank 1


class _Lane(Protocol):
    among: Ready[Any] | None
    level: int
    place: int
    ready_since: float


L = TypeVar("L", bound=_Lane)


class _Level(Generic[L]):
    """Lanes in line. A lane counts where its `place` is; elsewhere it has left an empty place."""

    __slots__ = ("first", "line", "lived")

    def __init__(self) -> None:
        self.line: deque[L] = deque()
        self.first = 0  # number of the first place in the line
        self.lived = 0  # places that are not empty


class Ready(Generic[L]):
    """Lanes that could be sent now; they know among whom they stand.

    Args:
        filled: its one number counts those, of several sets, that are not empty.

    Attributes:
        filled: bit n is set when level n holds lanes.
        patient_until: until then none in here has waited too long, for those to whom that matters.
    """

    def __init__(self, filled: list[int] | None = None) -> None:
        self._all = [0] if filled is None else filled
        self.filled: int = 0
        self.patient_until: float = -math.inf
        self._levels: defaultdict[int, _Level[L]] = defaultdict(_Level)  # by number; most are never used
        self._turn = 0

    def __bool__(self) -> bool:
        return self.filled != 0

    def add(self, lane: L, rank: int, since: float) -> None:
        """Take in a lane that has been ready since then."""
        lane.among = self
        lane.ready_since = since
        lane.level = number = rank.bit_length()
        level = self._levels[number]
        lane.place = level.first + len(level.line)
        level.line.append(lane)
        level.lived += 1
        if not self.filled:
            self._all[0] += 1
        self.filled |= 1 << number

    def grew(self, lane: L, rank: int) -> None:
        """Note that a lane in here has a higher rank now."""
        self.remove(lane)
        self.add(lane, rank, lane.ready_since)

    def remove(self, lane: L) -> None:
        """Take out one lane."""
        number = lane.level
        level = self._levels[number]
        lane.among = None
        level.lived -= 1
        if not level.lived:
            level.first += len(level.line)
            level.line.clear()
            self.filled &= ~(1 << number)
            if not self.filled:
                self._all[0] -= 1
        elif len(level.line) > 2 * level.lived + _FEWEST_EMPTY:
            self._close_ranks(number)

    def pop(self, least: int = 0) -> L | None:
        """Take out the lane that goes next, of those whose level is at least `least`."""
        filled = self.filled >> least << least
        if not filled:
            return None
        self._turn = (self._turn + 1) % _TURNS_PER_OLDEST
        lane = self._head(filled.bit_length() - 1) if self._turn else self.oldest(filled)
        self.remove(lane)
        return lane

    def gives_way(self, since: float) -> bool:
        """Whether somebody of rank 1 who stands elsewhere, and has waited since then, goes before all in here.

        There must be lanes in here. A turn of whoever waited longest is used up by it.
        """
        if (self._turn + 1) % _TURNS_PER_OLDEST:
            return self.filled == _LOWEST and since < self._head(1).ready_since
        if since >= self.oldest(self.filled).ready_since:
            return False
        self._turn = 0
        return True

    def oldest(self, filled: int) -> L:
        """Return the lane that waited longest of all in the levels given as bits."""
        return min(map(self._head, _bits(filled)), key=lambda lane: lane.ready_since)

    def _head(self, number: int) -> L:
        """Return the first lane of a level that holds some, and drop the empty places before it."""
        level = self._levels[number]
        while (lane := level.line[0]).place != level.first or lane.level != number or lane.among is not self:
            level.line.popleft()
            level.first += 1
        return lane

    def _close_ranks(self, number: int) -> None:
        level = self._levels[number]
        level.line = deque(
            lane
            for place, lane in enumerate(level.line, level.first)
            if lane.place == place and lane.level == number and lane.among is self
        )
        for place, lane in enumerate(level.line, level.first):
            lane.place = place


def _bits(filled: int) -> Iterator[int]:
    while filled:
        number = filled.bit_length() - 1
        yield number
        filled ^= 1 << number
