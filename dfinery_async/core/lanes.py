"""Lanes: one ordered queue per exact identity, and the grouping of neighbours into requests.

No await, no clock: `now` is an argument, and `next_wake` says when to look again. All waiting (linger, retry times,
deadlines) is one heap with at most one live entry a lane. A lane is in one of three states:

- held: something waits, but not before `due` (linger, or the time of a retry);
- ready: it could be sent now, and stands in `Ready` under the family of its head;
- in the air: one request of this user is under way, and nothing else of it moves.

A request that must be repeated goes back in front of its lane as it was, so that its bytes stay the same. A lane whose
last work is settled is forgotten, so idle users cost nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import TypeAlias

from dfinery_async.config import Family
from dfinery_async.core import codec
from dfinery_async.core.caps import Caps
from dfinery_async.core.ready import Ready
from dfinery_async.core.work import Batch, Work

__all__ = ["Lanes"]

_FEWEST_STALE = 64
_Kind: TypeAlias = tuple[Family, bool]


class _Lane:
    __slots__ = ("due", "front", "in_air", "items", "key", "level", "ready_since", "size", "waiting", "wake")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.waiting: list[Work] = []
        self.items = 0  # of all that waits
        self.size = codec.events_overhead(key)  # of a request with all that waits
        self.front: list[Batch] = []  # frozen requests to repeat, first one first
        self.in_air = False
        self.due = -math.inf  # when it may be sent; math.inf while it is ready or in the air
        self.wake = math.inf  # the live entry in the heap
        self.level = 0
        self.ready_since = 0.0

    def append(self, work: Work) -> None:
        self.waiting.append(work)
        self.items += work.items
        self.size += work.size + 1

    def remove(self, count: int) -> list[Work]:
        first = self.waiting[:count]
        del self.waiting[:count]
        for work in first:
            self.items -= work.items
            self.size -= work.size + 1
        return first

    def backlog(self) -> int:
        return len(self.waiting) + sum(len(batch.works) for batch in self.front)

    def kind(self) -> _Kind:
        """Family of the head, and whether it is a retry. A half of a refused request is none: nothing failed."""
        if self.front:
            return self.front[0].works[0].family, self.front[0].failures > 0
        return self.waiting[0].family, False

    def oldest(self) -> float:
        return self.front[0].works[0].accepted_at if self.front else self.waiting[0].accepted_at


class Lanes:
    """All users with work.

    Args:
        caps: bounds of one request.
        linger: seconds that the first work of a request waits for more.
        timeout: seconds after which a work is given up; `None` is never.
    """

    def __init__(self, caps: Caps, *, linger: float = 0.0, timeout: float | None = None) -> None:
        self.caps = caps
        self._linger = linger
        self._timeout = math.inf if timeout is None else timeout
        self._lanes: dict[bytes, _Lane] = {}
        self._ready = _nobody_ready()
        self._heap: list[tuple[float, int, _Lane]] = []
        self._pushes = 0  # ties in the heap go by order of arrival
        self._live = 0
        self._released_at = -math.inf  # what was accepted up to here does not linger
        self._expired: list[Work] = []

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, key: bytes, work: Work, now: float) -> None:
        """Put a work at the end of its user's lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
            lane.append(work)
            self._stand(lane, now)
            return
        lane.append(work)
        if lane.in_air:
            return
        if lane.due == math.inf:
            self._ready[lane.kind()].grew(lane, lane.backlog())
        elif not lane.front and self._full(lane):
            self._make_ready(lane, now)

    def ready(self, now: float) -> list[tuple[Family, bool]]:
        """Return for which families, and whether for retries, `take` would give a request. Retries come first."""
        self._wake(now)
        return [kind for kind, lanes in self._ready.items() if lanes]

    def has_ready(self, family: Family, now: float, *, retry: bool = False) -> bool:
        """Whether `take` with these arguments would give a request."""
        self._wake(now)
        return bool(self._ready[family, retry])

    def take(self, family: Family, now: float, *, retry: bool = False) -> Batch | None:
        """Take the next request of a family into the air: one that must be repeated, or a new one."""
        self._wake(now)
        lane = self._ready[family, retry].pop()
        if lane is None:
            return None
        lane.in_air = True
        return lane.front.pop(0) if lane.front else self._cut(lane)

    def settle(self, batch: Batch, now: float) -> None:
        """The request is done with: its user may send the next."""
        lane = self._lanes[batch.key]
        lane.in_air = False
        self._stand(lane, now)

    def put_back(self, batch: Batch, now: float, not_before: float = -math.inf) -> None:
        """The request must be repeated: it goes back in front of its lane, as it was."""
        lane = self._lanes[batch.key]
        lane.front.insert(0, batch)
        lane.in_air = False
        self._stand(lane, now, not_before)

    def divide(self, batch: Batch, now: float) -> None:
        """Put both halves of a request in front of its lane, the left one first."""
        lane = self._lanes[batch.key]
        lane.front[:0] = batch.halves()
        lane.in_air = False
        self._stand(lane, now)

    def release(self, now: float) -> None:
        """End the linger of all that was accepted up to now."""
        if not self._linger:
            return
        self._released_at = now
        for lane in self._lanes.values():
            if not lane.in_air and not lane.front and lane.due > now and lane.due != math.inf:
                self._make_ready(lane, now)

    def expired(self, now: float) -> list[Work]:
        """Return the works that were given up since the last call; they have left their lanes."""
        self._wake(now)
        gone, self._expired = self._expired, []
        return gone

    def next_wake(self) -> float:
        """When something that waits is due: look again then. `math.inf` when nothing waits for time."""
        while self._heap and self._heap[0][2].wake != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def take_all(self) -> Iterator[tuple[bytes, Work]]:
        """Empty the lanes, at the end: every work that waits, each user's in order."""
        lanes, self._lanes = self._lanes, {}
        self._heap.clear()
        self._ready = _nobody_ready()
        for lane in lanes.values():
            for batch in lane.front:
                for work in batch.works:
                    yield lane.key, work
            for work in lane.waiting:
                yield lane.key, work

    def _full(self, lane: _Lane) -> bool:
        """Whether waiting longer could not make the next request any fuller."""
        waiting, caps = lane.waiting, self.caps
        return (
            len(waiting) >= caps.events
            or lane.items >= caps.items
            or lane.size >= caps.bytes
            or waiting[-1].family != waiting[0].family
        )

    def _cut(self, lane: _Lane) -> Batch:
        """Take the longest run of neighbours that fits one request out of a lane."""
        waiting, caps = lane.waiting, self.caps
        family = waiting[0].family
        count = items = 0
        size = codec.events_overhead(lane.key)
        for work in waiting:
            items += work.items
            size += work.size + 1
            if work.family != family or (count and (count == caps.events or items > caps.items or size > caps.bytes)):
                break
            count += 1
        if count > caps.proven and family == "events":
            caps.tries(count)
        return Batch(lane.key, lane.remove(count))

    def _stand(self, lane: _Lane, now: float, not_before: float = -math.inf) -> None:
        """Decide where a lane stands that is not in the air any more."""
        if not lane.front and not lane.waiting:
            del self._lanes[lane.key]
            self._disarm(lane)
            return
        due = not_before
        if not lane.front and self._linger and not self._full(lane):
            first = lane.waiting[0].accepted_at
            if first > self._released_at:
                due = first + self._linger
        if due <= now:
            self._make_ready(lane, now)
        else:
            lane.due = due
        self._arm(lane)

    def _make_ready(self, lane: _Lane, now: float) -> None:
        lane.due = math.inf
        self._ready[lane.kind()].add(lane, lane.backlog(), now)

    def _arm(self, lane: _Lane) -> None:
        """See that the heap wakes a lane no later than it needs."""
        wake = min(lane.due, lane.oldest() + self._timeout)
        if wake >= lane.wake:
            return  # an earlier entry looks again anyway
        if lane.wake == math.inf:
            self._live += 1
        lane.wake = wake
        self._pushes += 1
        heapq.heappush(self._heap, (wake, self._pushes, lane))
        if len(self._heap) > 2 * self._live + _FEWEST_STALE:
            self._heap = [entry for entry in self._heap if entry[2].wake == entry[0]]
            heapq.heapify(self._heap)

    def _disarm(self, lane: _Lane) -> None:
        if lane.wake != math.inf:
            lane.wake = math.inf
            self._live -= 1

    def _wake(self, now: float) -> None:
        """Look at the lanes whose time has come."""
        while self.next_wake() <= now:
            lane = heapq.heappop(self._heap)[2]
            self._disarm(lane)
            if lane.in_air:
                continue  # `_stand` arms it again
            self._give_up_old(lane, now)
            if lane.key in self._lanes:
                if lane.due <= now:
                    self._make_ready(lane, now)
                self._arm(lane)

    def _give_up_old(self, lane: _Lane, now: float) -> None:
        if lane.oldest() + self._timeout > now:
            return
        if lane.due == math.inf:
            self._ready[lane.kind()].remove(lane)
        for batch in lane.front:
            self._expired += [work for work in batch.works if work.accepted_at + self._timeout <= now]
            batch.works = [work for work in batch.works if work.accepted_at + self._timeout > now]
        lane.front = [batch for batch in lane.front if batch.works]
        # Works wait in the order of their acceptance, so those that are too old stand first.
        self._expired += lane.remove(sum(work.accepted_at + self._timeout <= now for work in lane.waiting))
        # A time of retry belonged to what is gone, unless the front is still there; linger is counted anew.
        self._stand(lane, now, lane.due if lane.front and lane.due != math.inf else -math.inf)


def _nobody_ready() -> dict[_Kind, Ready[_Lane]]:
    # In the order in which they go: retries hold up their users, and the rarer kinds would wait behind many events.
    families: tuple[Family, ...] = ("identities", "profiles", "events")
    return {(family, retry): Ready() for retry in (True, False) for family in families}
