"""Users of whom one event waits, and nothing else: the event itself stands for its user's lane.

Where there are many users most lanes would hold one event once. Without a lane such a user costs a third of the memory
and of the time. A second event, or trouble with the first, gives the user a lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from dfinery_async.core.lane import NEVER
from dfinery_async.core.work import Work

__all__ = ["Singles"]

_FEWEST_STALE = 64


class Singles:
    """A line of such users, in the order in which their events were accepted.

    Args:
        users: what is known of every user. An event counts as long as it stands there for its user; one that does not
            any more has left its place in the line behind.
        timeout: seconds after which an event is given up.

    Attributes:
        count: how many there are.
        latest: when the last one was accepted: an earlier one cannot stand behind it.
        due: none is given up before this time.
    """

    __slots__ = ("_keys", "_timeout", "_users", "_works", "count", "due", "latest")

    def __init__(self, users: dict[bytes, Any], timeout: float) -> None:
        self.count: int = 0
        self.latest: float = -NEVER
        self.due: float = NEVER
        self._timeout = timeout
        self._users = users
        self._keys: deque[bytes] = deque()
        self._works: deque[Work] = deque()

    def add(self, key: bytes, work: Work) -> None:
        """Let an event stand for its user."""
        self._users[key] = work
        self._keys.append(key)
        self._works.append(work)
        self.latest = work.accepted_at
        self.count += 1
        if self.count == 1:
            self.due = work.accepted_at + self._timeout

    def first(self) -> Work:
        """Return the event that waited longest; there must be one."""
        keys, works = self._keys, self._works
        users: Mapping[bytes, object] = self._users
        work = works[0]
        while users.get(keys[0]) is not work:
            keys.popleft()
            works.popleft()
            work = works[0]
        return work

    def pop(self) -> tuple[bytes, Work]:
        """Take out the event that waited longest; its user is the caller's now."""
        work = self.first()
        self._works.popleft()
        self.count -= 1
        if not self.count:
            self.due = NEVER
        return self._keys.popleft(), work

    def expired(self, now: float) -> list[Work]:
        """Take out the events that are given up."""
        gone: list[Work] = []
        while self.count:
            self.due = self.first().accepted_at + self._timeout
            if self.due > now:
                break
            key, work = self.pop()
            del self._users[key]
            gone.append(work)
        return gone

    def left(self) -> None:
        """Note that something else stands for a user now."""
        self.count -= 1
        if not self.count:
            self.due = NEVER
        if len(self._keys) > 2 * self.count + _FEWEST_STALE:
            users = self._users
            alive = [(key, work) for key, work in zip(self._keys, self._works, strict=True) if users.get(key) is work]
            self._keys = deque(key for key, _ in alive)
            self._works = deque(work for _, work in alive)
