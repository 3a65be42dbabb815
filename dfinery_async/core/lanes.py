"""Lanes: one ordered queue per exact identity, and the grouping of neighbours into requests.

No await, no clock: `now` is an argument, and `next_wake` says when to look again. A lane is in one of three states:

- held: something waits, but not before `due` (linger, or the time of a retry);
- ready: it could be sent now, and stands in `Ready` under the family of its head;
- in the air: one request of this user is under way, and nothing else of it moves.

A request that must be repeated goes back in front of its lane as it was, so that its bytes stay the same. A lane whose
last work is settled is forgotten, so idle users cost nothing. A user with one event has no lane: the event stands for
it, and then the request that carries it (`singles.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from dfinery_async.config import Family
from dfinery_async.core import codec
from dfinery_async.core.alarms import Alarms
from dfinery_async.core.batching import Filling
from dfinery_async.core.caps import Caps
from dfinery_async.core.lane import NEVER, Kind, Lane
from dfinery_async.core.ready import Ready
from dfinery_async.core.singles import Singles
from dfinery_async.core.work import Batch, Work

__all__ = ["FAMILIES", "Lanes"]

FAMILIES: tuple[Family, ...] = ("identities", "profiles", "events")
"""In the order in which they go: retries hold up their users, and the rarer kinds would wait behind many events."""

_SINGLE: Kind = ("events", False)
_SINGLES: tuple[Kind, ...] = (_SINGLE,)
_NONE: tuple[Kind, ...] = ()
_User: TypeAlias = Lane | Work | Batch
_RANK_OF_FULL = 7  # bits: what can get no fuller goes before what can, which is at most 100 works and so seven bits
_LEVEL_OF_FULL = _RANK_OF_FULL + 1


class Lanes:
    """All users with work.

    Args:
        caps: bounds of one request.
        linger: seconds that the first work of a request waits for more.
        timeout: seconds after which a work is given up, unless it is in the air; `None` is never.
    """

    def __init__(self, caps: Caps, *, linger: float = 0.0, timeout: float | None = None) -> None:
        self.caps = caps
        self._linger = linger
        self._timeout = NEVER if timeout is None else timeout
        self._begin()
        self._released_at = -NEVER  # what was accepted up to here does not linger
        self._expired: list[Work] = []

    def _begin(self) -> None:
        self._users: dict[bytes, _User] = {}
        self._singles = Singles(self._users, self._timeout)
        self._filled = [0]
        self._ready: dict[Kind, Ready[Lane]] = {
            (each, retry): Ready(self._filled) for retry in (True, False) for each in FAMILIES
        }
        self._alarms: Alarms[Lane] = Alarms()

    def __len__(self) -> int:
        return len(self._users)

    def add(self, key: bytes, work: Work, now: float) -> None:
        """Put a work at the end of its user's lane."""
        there = self._users.get(key)
        if there is None:
            caps, singles = self.caps, self._singles
            if (
                work.family == "events"
                and not self._linger
                and work.items < caps.items
                and codec.events_overhead(key) + work.size + 1 < caps.bytes
                and work.accepted_at >= singles.latest
            ):
                singles.add(key, work)
                return
            lane = self._users[key] = Lane(key)
            lane.append(work)
            self._stand(lane, now)
            return
        lane = there if isinstance(there, Lane) else self._lane(key)
        lane.append(work)
        if lane.among is not None:
            count = len(lane.waiting)
            if count & (count - 1) == 0 or lane.level >= _LEVEL_OF_FULL or self._full(lane):  # else no new level
                rank = self._rank(lane)
                if rank.bit_length() != lane.level:
                    lane.among.grew(lane, rank)
        elif lane.in_air:
            if self._timeout != NEVER and lane.wake == NEVER:  # any alarm that it has rings before this is too old
                self._arm(lane)
        elif not lane.front and self._full(lane):
            self._make_ready(lane, now)

    def ready(self, now: float) -> Sequence[Kind]:
        """Return for which families, and whether for retries, `take` would give a request. Retries come first."""
        if self._alarms.earliest <= now or self._singles.due <= now:
            self._wake(now)
        if not self._filled[0]:
            return _SINGLES if self._singles.count else _NONE
        kinds = [kind for kind, ready in self._ready.items() if ready.filled]
        if self._singles.count and kinds[-1] != _SINGLE:
            kinds.append(_SINGLE)
        return kinds

    def has_ready(self, family: Family, now: float, *, retry: bool = False, patience: float = 0.0) -> bool:
        """Whether `take` with these arguments would give a request."""
        if self._alarms.earliest <= now or self._singles.due <= now:
            self._wake(now)
        ready = self._ready[family, retry]
        single = self._singles.count != 0 and family == "events" and not retry
        if patience and (least := self._least(ready, now, patience, single=single)):
            return ready.filled >> least != 0 or (single and self.caps.events <= 1)
        return ready.filled != 0 or single

    def take(self, family: Family, now: float, *, retry: bool = False, patience: float = 0.0) -> Batch | None:
        """Take the next request of a family into the air: one that must be repeated, or a new one.

        Args:
            family: which.
            now: monotonic time.
            retry: whether to take one that must be repeated.
            patience: seconds that a request is left where it is as long as it could still get fuller.
        """
        if self._alarms.earliest <= now or self._singles.due <= now:
            self._wake(now)
        ready, singles = self._ready[family, retry], self._singles
        single = singles.count != 0 and not retry and family == "events"
        least = self._least(ready, now, patience, single=single) if patience else 0
        if (
            single
            and (not least or self.caps.events <= 1)
            and (not ready.filled or ready.gives_way(singles.first().accepted_at))
        ):
            key, work = singles.pop()
            batch = self._users[key] = Batch(key, [work])
            return batch
        lane = ready.pop(least)
        if lane is None:
            return None
        lane.in_air = True
        return lane.front.pop(0) if lane.front else self._cut(lane)

    def settle(self, batch: Batch, now: float) -> None:
        """The request is done with: its user may send the next."""
        lane = self._users[batch.key]
        if lane is batch:
            del self._users[batch.key]
            return
        lane = self._lane(batch.key)
        lane.in_air = False
        self._stand(lane, now)

    def put_back(self, batch: Batch, now: float, not_before: float = -NEVER) -> None:
        """The request must be repeated: it goes back in front of its lane, as it was."""
        lane = self._lane(batch.key)
        lane.front = [batch, *(lane.front or ())]
        lane.in_air = False
        self._stand(lane, now, not_before)

    def divide(self, batch: Batch, now: float) -> None:
        """Put both halves of a request in front of its lane, the left one first."""
        lane = self._lane(batch.key)
        lane.front = [*batch.halves(), *(lane.front or ())]
        lane.in_air = False
        self._stand(lane, now)

    def release(self, now: float) -> None:
        """End the linger of all that was accepted up to now."""
        if not self._linger:
            return
        self._released_at = now
        for lane in self._users.values():
            if isinstance(lane, Lane) and not lane.in_air and not lane.front and lane.due > now and lane.due != NEVER:
                self._make_ready(lane, now)

    def expired(self, now: float) -> list[Work]:
        """Return the works that were given up since the last call; they have left their lanes."""
        if self._alarms.earliest <= now or self._singles.due <= now:
            self._wake(now)
        if not self._expired:
            return []
        gone, self._expired = self._expired, []
        return gone

    @property
    def sleeps_until(self) -> float:
        """No later than `next_wake`, and quicker to tell."""
        return min(self._alarms.earliest, self._singles.due)

    def next_wake(self) -> float:
        """When something that waits is due: look again then. `math.inf` when nothing waits for time."""
        return min(self._alarms.next(), self._singles.due)

    def take_all(self) -> list[tuple[bytes, Work]]:
        """Empty the lanes, at the end: every work that waits, each user's in order."""
        works = list(self.each())
        self._begin()
        return works

    def each(self) -> Iterator[tuple[bytes, Work]]:
        """Give every work that waits, each user's in order."""
        for key, there in self._users.items():
            if isinstance(there, Lane):
                for batch in there.front or ():
                    for work in batch.works:
                        yield key, work
                for work in there.waiting:
                    yield key, work
            elif isinstance(there, Work):
                yield key, there

    def _lane(self, key: bytes) -> Lane:
        """Return the lane of a user; it is made if its one event, or the request with it, has stood for it so far."""
        there = self._users[key]
        if isinstance(there, Lane):
            return there
        lane = self._users[key] = Lane(key)
        lane.due = NEVER
        if isinstance(there, Batch):
            lane.in_air = True
            return lane
        self._singles.left()
        lane.append(there)
        self._ready[_SINGLE].add(lane, self._rank(lane), there.accepted_at)
        self._arm(lane)
        return lane

    def _least(self, ready: Ready[Lane], now: float, patience: float, *, single: bool) -> int:
        """Return the level from which lanes may go: any, or only full ones as long as nobody has waited too long."""
        if now < ready.patient_until:  # whoever has come since then has waited less
            return _LEVEL_OF_FULL
        partial = ready.filled & ((1 << _LEVEL_OF_FULL) - 1)
        oldest = ready.oldest(partial).ready_since if partial else now
        if single:
            oldest = min(oldest, self._singles.first().accepted_at)
        ready.patient_until = oldest + patience
        return _LEVEL_OF_FULL if now < ready.patient_until else 0

    def _full(self, lane: Lane) -> bool:
        """Whether waiting longer could not make the next request any fuller."""
        caps = self.caps
        return (
            lane.size >= caps.bytes
            or len(lane.waiting) >= caps.events
            or lane.items >= caps.items
            or lane.mixed
            or bool(lane.front)
        )

    def _rank(self, lane: Lane) -> int:
        """Return the length of a lane's backlog, and as a much larger number if its next request is full."""
        count = len(lane.waiting)
        if not self._full(lane):
            return count
        if lane.front:
            count += sum([len(batch.works) for batch in lane.front])
        return count << _RANK_OF_FULL

    def _cut(self, lane: Lane) -> Batch:
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

    def _taken(self, lane: Lane, works: list[Work]) -> Batch:
        batch = Batch(lane.key, works)
        if len(works) > self.caps.proven and works[0].family == "events":
            self.caps.tries(len(works))
        return batch

    def _stand(self, lane: Lane, now: float, not_before: float = -NEVER) -> None:
        """Decide where a lane stands that is not in the air any more."""
        if not lane.waiting and not lane.front:
            del self._users[lane.key]
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

    def _make_ready(self, lane: Lane, now: float) -> None:
        lane.due = NEVER
        self._ready[lane.kind()].add(lane, self._rank(lane), now)

    def _arm(self, lane: Lane) -> None:
        """See that a lane is looked at no later than it needs."""
        wake = min(lane.due, lane.oldest() + self._timeout)
        if wake < lane.wake:  # else an earlier alarm looks again anyway
            self._alarms.follow(lane, wake)

    def _wake(self, now: float) -> None:
        """Look at the lanes whose time has come."""
        self._expired += self._singles.expired(now)
        for lane in self._alarms.ring(now):
            self._give_up_old(lane, now)
            if self._users.get(lane.key) is lane:
                if lane.due <= now:  # never so in the air
                    self._make_ready(lane, now)
                self._arm(lane)

    def _give_up_old(self, lane: Lane, now: float) -> None:
        if lane.oldest() + self._timeout > now:
            return
        if lane.among is not None:
            lane.among.remove(lane)
        for batch in lane.front or ():
            batch.works = self._still_young(batch.works, now)
        lane.front = [batch for batch in lane.front or () if batch.works]
        # Works wait in the order of their acceptance, so those that are too old stand first.
        self._expired += lane.remove(sum(work.accepted_at + self._timeout <= now for work in lane.waiting))
        if not lane.in_air:
            # A time of retry belonged to what is gone, unless the front is still there; linger is counted anew.
            self._stand(lane, now, lane.due if lane.front and lane.due != NEVER else -NEVER)

    def _still_young(self, works: Sequence[Work], now: float) -> list[Work]:
        young: list[Work] = []
        for work in works:
            (young if work.accepted_at + self._timeout > now else self._expired).append(work)
        return young
