"""When to try again, and how often all together may."""

from __future__ import annotations

import math

from dfinery_async.config import RetryConfig

__all__ = ["RetryBudget", "backoff"]

_MOST_DOUBLINGS = 32  # 2**32 times any base is far beyond any cap; larger powers would only overflow
_CAPACITY = 50.0
_TENTH = 0.1
_SLOWEST = 1.0  # seconds between two retries that are always allowed


def backoff(config: RetryConfig, failures: int, chance: float) -> float:
    """Return the seconds to wait after `failures` failed attempts in a row: exponential backoff with full jitter.

    `chance` is uniform in [0, 1). Full jitter needs the fewest calls when many clients compete (AWS Architecture Blog,
    "Exponential Backoff And Jitter").
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
    return chance * min(config.cap, config.base * 2.0**doublings)


class RetryBudget:
    """What the retries of all lanes together may cost, so that they cannot make an overload worse.

    A bucket of 50 retries. A success earns a tenth of one, and one that was a retry gives itself back besides. While
    the bucket is empty, retries go on at a tenth of the successes, and at least one a second: a storm is slowed, and
    nothing is dropped. (The idea is that of the AWS SDKs' retry quota.)

    Attributes:
        whole: whether the bucket is full, so that a success earns nothing.
    """

    def __init__(self) -> None:
        self.whole: bool = True
        self._retries = _CAPACITY
        self._next_at = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until a retry may go; 0 is now."""
        return 0.0 if self._retries >= 1.0 else max(0.0, self._next_at - now)

    def spend(self, now: float) -> None:
        """Note that a retry goes now."""
        self.whole = False
        self._retries = max(0.0, self._retries - 1.0)
        self._next_at = now + _SLOWEST

    def succeeded(self, *, retried: bool) -> None:
        """Note a request that was answered well."""
        if not self.whole:
            self._retries = min(_CAPACITY, self._retries + _TENTH + retried)
            self.whole = self._retries == _CAPACITY
