"""How many requests may be in the air: additive increase, multiplicative decrease."""

from __future__ import annotations

import math

__all__ = ["FlightLimit"]

_DECREASE = 0.7


class FlightLimit:
    """A bound that gives way to a server in trouble, and comes back.

    It begins at the most that is allowed. A time-out, a broken connection or a 5xx lowers it to 0.7 of itself, once
    for all requests that were in the air together. A success raises it: by one below half of what it was when trouble
    began, so that an outage is made up for quickly, and by its share of one above that.

    Args:
        most: requests in the air at the most.

    Attributes:
        size: requests that may be in the air now, at least one.
        whole: whether that is the most, and the last news was good: one more success changes nothing.
    """

    def __init__(self, most: int) -> None:
        self.size: int = most
        self._most = float(most)
        self._limit = float(most)
        self._threshold = math.inf
        self._lowered_at = -math.inf
        self.whole: bool = True
        self._well = True  # whether the last news was good

    def lost(self, launched_at: float, now: float) -> None:
        """Note trouble with a request that went out at `launched_at`."""
        if launched_at < self._lowered_at:
            return  # it was in the air when the bound was lowered: the same trouble
        if self._well:  # trouble begins; what follows belongs to it
            self._threshold = self._limit / 2
            self._well = False
        self.whole = False
        self._set(max(1.0, self._limit * _DECREASE))
        self._lowered_at = now

    def succeeded(self, in_air: int) -> None:
        """Note a success while `in_air` requests were in the air, it included."""
        self._well = True
        if self._limit < self._most and 2 * in_air >= self.size:  # an unused bound proves nothing
            self._set(min(self._most, self._limit + (1.0 if self._limit < self._threshold else 1.0 / self._limit)))
        self.whole = self._limit >= self._most

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.size = int(limit)
