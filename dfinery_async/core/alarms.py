"""When to look at a lane again.

Nearly all alarms are set for a fixed time ahead and taken off before they ring. So those that come in the order of
their times stand in a line, in constant time, and only the others in a heap. An alarm that was taken off leaves its
entry behind, which is dropped at the head, or when such entries are in the majority.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["Alarms"]

_FEWEST_STALE = 64


class _Lane(Protocol):
    wake: float


L = TypeVar("L", bound=_Lane)


class Alarms(Generic[L]):
    """At most one live alarm a lane, which is its `wake`; `math.inf` is none.

    Attributes:
        earliest: no alarm rings before this time.
    """

    def __init__(self) -> None:
        self.earliest: float = math.inf
        self._line: deque[L] = deque()
        self._times: deque[float] = deque()  # of those in the line
        self._heap: list[tuple[float, int, L]] = []
        self._pushes = 0  # ties in the heap go by order of arrival
        self._live = 0

    def __len__(self) -> int:
        return len(self._line) + len(self._heap)

    def follow(self, lane: L, when: float) -> None:
        """Set the first alarm of a lane, which is later than most that were set before."""
        if self._times and when < self._times[-1]:
            self.set(lane, when)
            return
        if lane.wake == math.inf:
            self._live += 1
        lane.wake = when
        self.earliest = min(self.earliest, when)
        self._times.append(when)
        self._line.append(lane)
        if len(self._line) > 2 * self._live + _FEWEST_STALE:
            kept = [lane.wake == when for lane, when in zip(self._line, self._times, strict=True)]
            self._line = deque(lane for lane, keep in zip(self._line, kept, strict=True) if keep)
            self._times = deque(when for when, keep in zip(self._times, kept, strict=True) if keep)

    def set(self, lane: L, when: float) -> None:
        """Set the alarm of a lane for any time before the one it has."""
        if lane.wake == math.inf:
            self._live += 1
        lane.wake = when
        self.earliest = min(self.earliest, when)
        self._pushes += 1
        heapq.heappush(self._heap, (when, self._pushes, lane))
        if len(self._heap) > 2 * self._live + _FEWEST_STALE:
            self._heap = [entry for entry in self._heap if entry[2].wake == entry[0]]
            heapq.heapify(self._heap)

    def off(self, lane: L) -> None:
        """Take the alarm of a lane off."""
        if lane.wake != math.inf:
            lane.wake = math.inf
            self._live -= 1

    def next(self) -> float:
        """When the next alarm rings; `math.inf` when there is none."""
        while self._times and self._line[0].wake != self._times[0]:
            self._line.popleft()
            self._times.popleft()
        while self._heap and self._heap[0][2].wake != self._heap[0][0]:
            heapq.heappop(self._heap)
        self.earliest = min(
            self._times[0] if self._times else math.inf,
            self._heap[0][0] if self._heap else math.inf,
        )
        return self.earliest

    def ring(self, now: float) -> Iterator[L]:
        """Give each lane whose time has come; its alarm is off then."""
        while self.next() <= now:
            if self._times and self._times[0] == self.earliest:
                self._times.popleft()
                lane = self._line.popleft()
            else:
                lane = heapq.heappop(self._heap)[2]
            self.off(lane)
            yield lane
