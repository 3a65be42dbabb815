"""How many requests a load needs, and how long they take, found out without sending anything."""

from __future__ import annotations

import math

from dfinery_async.config import DeliveryConfig
from dfinery_async.core.batching import Filling
from dfinery_async.core.books import Books
from dfinery_async.core.caps import Caps
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.work import Work

__all__ = ["LoadPlan", "seconds_for"]


class LoadPlan:
    """Works packed as a producer packs them whose source is faster than its quota: it is always full.

    Of each user a few figures are kept until the end; of the works, no more than a producer may hold.

    Args:
        config: bounds of the producer.

    Attributes:
        units: works taken in.
        requests: that carry them.
    """

    def __init__(self, config: DeliveryConfig) -> None:
        self.units: int = 0
        self.requests: int = 0
        self._config = config
        self._caps = Caps(bytes=config.max_batch_bytes)
        self._lanes = Lanes(self._caps)
        self._books = Books()
        self._users: dict[bytes, Filling] = {}

    @property
    def users(self) -> int:
        """Exact identities seen so far."""
        return len(self._users)

    @property
    def requests_least(self) -> int:
        """Requests if all that a user has went together; of works of one family."""
        return sum(filling.requests for filling in self._users.values())

    @property
    def longest(self) -> int:
        """Requests, of those, of the user that has most: they go one after the other."""
        return max((filling.requests for filling in self._users.values()), default=0)

    def add(self, key: bytes, work: Work) -> None:
        """Take in the next work of the source; what has no room beside it is sent."""
        while not self._books.has_room(work, self._config):
            self._send()
        self.units += 1
        work.accepted_at = float(self.units)
        self._books.accept(work)
        self._lanes.add(key, work, float(self.units))
        filling = self._users.get(key)
        if filling is None:
            filling = self._users[key] = Filling(key)
        filling.add(work.size, work.items, self._caps)

    def finish(self) -> None:
        """Send what is left."""
        while self._books.pending:
            self._send()

    def _send(self) -> None:
        now = float(self.units)  # the order of arrival is all the time there is
        family, _ = self._lanes.ready(now)[0]
        batch = self._lanes.take(family, now)
        assert batch is not None  # noqa: S101 - it was ready
        self.requests += 1
        self._books.settle(batch.works, "delivered")
        self._lanes.settle(batch, now)


def seconds_for(calls: int, limit: int, period: float, *, most: float | None = None) -> float:
    """Return how long so many calls of one family take, the first one at 0.

    Args:
        calls: how many.
        limit: calls in one window of the quota.
        period: length of the window in seconds.
        most: calls a second at the most: a limit of the user's own.
    """
    if not calls:
        return 0.0
    pace = QuotaWindow(limit, period, most=most).pace(0.0)
    seconds = 0.0 if pace is None else (calls - 1) / pace
    if QuotaWindow(limit, period).pace(0.0) is None:  # it is not spread: all of it, then a wait for the next window
        seconds = max(seconds, float((math.ceil(calls / limit) - 1) * period))
    return seconds
