"""The clocks, in the one place that asks for them. Waiting is always by the loop's monotonic time."""

from __future__ import annotations

import asyncio
import time

__all__ = ["now", "wall"]


def now() -> float:
    """Return the monotonic time of the running loop."""
    return asyncio.get_running_loop().time()


def wall() -> float:
    """Return the seconds since 1970 by this machine's clock."""
    return time.time()
