"""The wall clock, in the one place that asks for it. Waiting is always by the loop's monotonic time."""

from __future__ import annotations

import time

__all__ = ["wall"]


def wall() -> float:
    """Return the seconds since 1970 by this machine's clock."""
    return time.time()
