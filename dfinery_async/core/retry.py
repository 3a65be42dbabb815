"""When to try again."""

from __future__ import annotations

from dfinery_async.config import RetryConfig

__all__ = ["backoff"]

_MOST_DOUBLINGS = 32  # 2**32 times any base is far beyond any cap; larger powers would only overflow


def backoff(config: RetryConfig, failures: int, chance: float) -> float:
    """Return the seconds to wait after `failures` failed attempts in a row: exponential backoff with full jitter.

    `chance` is uniform in [0, 1). Full jitter needs the fewest calls when many clients compete (AWS Architecture Blog,
    "Exponential Backoff And Jitter").
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
    return chance * min(config.cap, config.base * 2.0**doublings)
