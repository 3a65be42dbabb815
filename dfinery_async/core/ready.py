"""Who is sent next: the user with the longest backlog, so that a hot user costs no throughput.

One request of a user is in the air at a time. A user with many events is then the bound of the whole run unless it is
served whenever it can be; users with few events fit in between. So lanes stand in levels by the power of two of their
backlog, the highest level goes first, and within a level the one that waited longest. So that a cold lane never
starves, every eighth turn goes to the lane that waited longest of all. All steps take constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

__all__ = ["Ready"]

_LEVELS = 24
_TURNS_PER_OLDEST = 8


class _Lane(Protocol):
    level: int
    ready_since: float


L = TypeVar("L", bound=_Lane)


class Ready(Generic[L]):
    """Lanes that could be sent now."""

    def __init__(self) -> None:
        self._levels: list[OrderedDict[L, None]] = [OrderedDict() for _ in range(_LEVELS)]
        self._filled = 0  # bit n is set when level n holds lanes
        self._turn = 0

    def __bool__(self) -> bool:
        return self._filled != 0

    def add(self, lane: L, backlog: int, now: float) -> None:
        """Take in a lane that has `backlog` units waiting."""
        lane.ready_since = now
        self._put(lane, backlog)

    def grew(self, lane: L, backlog: int) -> None:
        """Note that a lane in here has a longer backlog now."""
        if min(backlog.bit_length(), _LEVELS - 1) != lane.level:
            self.remove(lane)
            self._put(lane, backlog)

    def remove(self, lane: L) -> None:
        """Take out one lane."""
        level = self._levels[lane.level]
        del level[lane]
        if not level:
            self._filled &= ~(1 << lane.level)

    def pop(self) -> L | None:
        """Take out the lane that goes next."""
        if not self._filled:
            return None
        self._turn = (self._turn + 1) % _TURNS_PER_OLDEST
        lane = self._oldest() if self._turn == 0 else next(iter(self._levels[self._filled.bit_length() - 1]))
        self.remove(lane)
        return lane

    def _put(self, lane: L, backlog: int) -> None:
        lane.level = min(backlog.bit_length(), _LEVELS - 1)
        self._levels[lane.level][lane] = None
        self._filled |= 1 << lane.level

    def _oldest(self) -> L:
        return min((next(iter(level)) for level in self._levels if level), key=lambda lane: lane.ready_since)
