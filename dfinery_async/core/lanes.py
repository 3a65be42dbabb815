"""Lanes: one ordered queue per exact identity, and the grouping of neighbours into requests.

No await, no clock: `now` is an argument, and `next_wake` says when to look again. A lane is in one of three states:

- held: something waits, but not before `due` (linger, or the time of a retry);
- ready: it could be sent now, and stands in `Ready` under the family of its head;
- in the air: one request of this user is under way, and nothing else of it moves.

A request that must be repeated goes back in front of its lane as it was, so that its bytes stay the same. A lane whose
last work is settled is forgotten, so idle users cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dfinery_async.config import Family
from dfinery_async.core import codec
from dfinery_async.core.alarms import Alarms
from dfinery_async.core.batching import Filling
from dfinery_async.core.caps import Caps
from dfinery_async.core.ready import Ready
from dfinery_async.core.work import Batch, Work

__all__ = ["FAMILIES", "Lanes"]

FAMILIES: tuple[Family, ...] = ("identities", "profiles", "events")
"""In the order in which they go: retries hold up their users, and the rarer kinds would wait behind many events."""

_Kind: TypeAlias = tuple[Family, bool]
_NEVER = math.inf
_RANK_OF_FULL = 7  # bits: what can get no fuller goes before what can, which is at most 100 works and so seven bits
_LEVEL_OF_FULL = _RANK_OF_FULL + 1


class _Lane:  # no msgspec.Struct: setting an attribute of one takes six times as long
    __slots__ = (
        "among",
        "due",
        "front",
        "in_air",
        "items",
        "key",
        "level",
        "mixed",
        "place",
        "ready_since",
        "size",
        "waiting",
        "wake",
    )

    def __init__(self, key: bytes, work: Work) -> None:
        self.key: bytes = key
        self.waiting: list[Work] = [work]
        self.items: int = work.items  # of all that waits
        self.size: int = codec.events_overhead(key) + work.size + 1  # of a request with all that waits
        self.mixed: bool = False  # whether works of several kinds wait
        self.front: list[Batch] | None = None  # frozen requests to repeat, first one first
        self.in_air: bool = False
        self.due: float = -_NEVER  # when it may be sent; infinite while it is ready or in the air
        self.wake: float = _NEVER  # its live alarm
        self.among: Ready[_Lane] | None = None  # where it stands while it is ready
        self.level: int = 0
        self.place: int = 0
        self.ready_since: float = 0.0

    def remove(self, count: int) -> list[Work]:
        first = self.waiting[:count]
        del self.waiting[:count]
        self.items -= sum([work.items for work in first])
        self.size -= sum([work.size for work in first]) + count
        if self.mixed:
            self.mixed = any(work.family != self.waiting[0].family for work in self.waiting)
        return first

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
        self._timeout = _NEVER if timeout is None else timeout
        self._lanes: dict[bytes, _Lane] = {}
        self._ready = _nobody_ready()
        self._alarms: Alarms[_Lane] = Alarms()
        self._released_at = -_NEVER  # what was accepted up to here does not linger
        self._expired: list[Work] = []

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, key: bytes, work: Work, now: float) -> None:
        """Put a work at the end of its user's lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key, work)
            if self._linger:
                self._stand(lane, now)
                return
            lane.due = _NEVER
            self._ready[work.family, False].add(lane, self._rank(lane), now)
            if self._timeout != _NEVER:
                self._alarms.follow(lane, work.accepted_at + self._timeout)
            return
        waiting = lane.waiting
        if waiting and waiting[-1].family != work.family:
            lane.mixed = True
        waiting.append(work)
        lane.items += work.items
        lane.size += work.size + 1
        if lane.among is not None:
            rank = self._rank(lane)
            if rank.bit_length() != lane.level:
                lane.among.grew(lane, rank)
        elif not lane.in_air and not lane.front and self._full(lane):
            self._make_ready(lane, now)

    def ready(self, now: float) -> list[_Kind]:
        """Return for which families, and whether for retries, `take` would give a request. Retries come first."""
        if self._alarms.earliest <= now:
            self._wake(now)
        return [kind for kind, ready in self._ready.items() if ready.filled]

    def has_ready(self, family: Family, now: float, *, retry: bool = False, patience: float = 0.0) -> bool:
        """Whether `take` with these arguments would give a request."""
        if self._alarms.earliest <= now:
            self._wake(now)
        ready = self._ready[family, retry]
        return ready.filled != 0 and (not patience or ready.filled >> _least(ready, now, patience) != 0)

    def take(self, family: Family, now: float, *, retry: bool = False, patience: float = 0.0) -> Batch | None:
        """Take the next request of a family into the air: one that must be repeated, or a new one.

        Args:
            family: which.
            now: monotonic time.
            retry: whether to take one that must be repeated.
            patience: seconds that a request is left where it is as long as it could still get fuller.
        """
        if self._alarms.earliest <= now:
            self._wake(now)
        ready = self._ready[family, retry]
        lane = ready.pop(_least(ready, now, patience) if patience else 0)
        if lane is None:
            return None
        lane.in_air = True
        return lane.front.pop(0) if lane.front else self._cut(lane)

    def settle(self, batch: Batch, now: float) -> None:
        """The request is done with: its user may send the next."""
        lane = self._lanes[batch.key]
        if lane.waiting or lane.front:
            lane.in_air = False
            self._stand(lane, now)
        else:
            del self._lanes[batch.key]
            self._alarms.off(lane)

    def put_back(self, batch: Batch, now: float, not_before: float = -_NEVER) -> None:
        """The request must be repeated: it goes back in front of its lane, as it was."""
        lane = self._lanes[batch.key]
        lane.front = [batch, *(lane.front or ())]
        lane.in_air = False
        self._stand(lane, now, not_before)

    def divide(self, batch: Batch, now: float) -> None:
        """Put both halves of a request in front of its lane, the left one first."""
        lane = self._lanes[batch.key]
        lane.front = [*batch.halves(), *(lane.front or ())]
        lane.in_air = False
        self._stand(lane, now)

    def release(self, now: float) -> None:
        """End the linger of all that was accepted up to now."""
        if not self._linger:
            return
        self._released_at = now
        for lane in self._lanes.values():
            if not lane.in_air and not lane.front and lane.due > now and lane.due != _NEVER:
                self._make_ready(lane, now)

    def expired(self, now: float) -> list[Work]:
        """Return the works that were given up since the last call; they have left their lanes."""
        if self._alarms.earliest <= now:
            self._wake(now)
        if not self._expired:
            return []
        gone, self._expired = self._expired, []
        return gone

    @property
    def sleeps_until(self) -> float:
        """No later than `next_wake`, and quicker to tell."""
        return self._alarms.earliest

    def next_wake(self) -> float:
        """When something that waits is due: look again then. `math.inf` when nothing waits for time."""
        return self._alarms.next()

    def take_all(self) -> list[tuple[bytes, Work]]:
        """Empty the lanes, at the end: every work that waits, each user's in order."""
        works = list(self.each())
        self._lanes = {}
        self._alarms = Alarms()
        self._ready = _nobody_ready()
        return works

    def each(self) -> Iterator[tuple[bytes, Work]]:
        """Give every work that waits, each user's in order."""
        for lane in self._lanes.values():
            for batch in lane.front or ():
                for work in batch.works:
                    yield lane.key, work
            for work in lane.waiting:
                yield lane.key, work

    def _full(self, lane: _Lane) -> bool:
        """Whether waiting longer could not make the next request any fuller."""
        return self._rank(lane) >= 1 << _RANK_OF_FULL

    def _rank(self, lane: _Lane) -> int:
        """Return the length of a lane's backlog, and as a much larger number if its next request is full."""
        if lane.front:
            return (len(lane.waiting) + sum([len(batch.works) for batch in lane.front])) << _RANK_OF_FULL
        caps, count = self.caps, len(lane.waiting)
        full = count >= caps.events or lane.items >= caps.items or lane.size >= caps.bytes or lane.mixed
        return count << _RANK_OF_FULL if full else count

    def _cut(self, lane: _Lane) -> Batch:
        """Take the longest run of neighbours that fits one request out of a lane."""
        waiting, caps = lane.waiting, self.caps
        whole = lane.items <= caps.items and lane.size <= caps.bytes and not lane.mixed
        if whole and len(waiting) <= caps.events:
            lane.waiting = []
            lane.items, lane.size = 0, codec.events_overhead(lane.key)
            return self._taken(lane, waiting)
        if whole:
            return self._taken(lane, lane.remove(caps.events))
        family = waiting[0].family
        filling, count = Filling(lane.key), 0
        for work in waiting:
            if work.family != family or (filling.add(work.size, work.items, caps) and count):
                break
            count += 1
        return self._taken(lane, lane.remove(count))

    def _taken(self, lane: _Lane, works: list[Work]) -> Batch:
        batch = Batch(lane.key, works)
        if len(works) > self.caps.proven and works[0].family == "events":
            self.caps.tries(len(works))
        return batch

    def _stand(self, lane: _Lane, now: float, not_before: float = -_NEVER) -> None:
        """Decide where a lane stands that is not in the air any more."""
        if not lane.waiting and not lane.front:
            del self._lanes[lane.key]
            self._alarms.off(lane)
            return
        due = not_before
        if self._linger and not lane.front and not self._full(lane):
            first = lane.waiting[0].accepted_at
            if first > self._released_at:
                due = first + self._linger
        if due <= now:
            self._make_ready(lane, now)
        else:
            lane.due = due
        self._arm(lane)

    def _make_ready(self, lane: _Lane, now: float) -> None:
        lane.due = _NEVER
        self._ready[lane.kind()].add(lane, self._rank(lane), now)

    def _arm(self, lane: _Lane) -> None:
        """See that a lane is looked at no later than it needs."""
        wake = min(lane.due, lane.oldest() + self._timeout)
        if wake < lane.wake:  # else an earlier alarm looks again anyway
            self._alarms.follow(lane, wake)

    def _wake(self, now: float) -> None:
        """Look at the lanes whose time has come."""
        for lane in self._alarms.ring(now):
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
        if lane.among is not None:
            lane.among.remove(lane)
        for batch in lane.front or ():
            batch.works = self._still_young(batch.works, now)
        lane.front = [batch for batch in lane.front or () if batch.works]
        # Works wait in the order of their acceptance, so those that are too old stand first.
        self._expired += lane.remove(sum(work.accepted_at + self._timeout <= now for work in lane.waiting))
        # A time of retry belonged to what is gone, unless the front is still there; linger is counted anew.
        self._stand(lane, now, lane.due if lane.front and lane.due != _NEVER else -_NEVER)

    def _still_young(self, works: Sequence[Work], now: float) -> list[Work]:
        young: list[Work] = []
        for work in works:
            (young if work.accepted_at + self._timeout > now else self._expired).append(work)
        return young


def _least(ready: Ready[_Lane], now: float, patience: float) -> int:
    """Return the level from which lanes may go: any, or only full ones as long as nobody has waited too long."""
    partial = ready.filled & ((1 << _LEVEL_OF_FULL) - 1)
    return 0 if partial and ready.oldest(partial).ready_since + patience <= now else _LEVEL_OF_FULL


def _nobody_ready() -> dict[_Kind, Ready[_Lane]]:
    return {(family, retry): Ready() for retry in (True, False) for family in FAMILIES}
