"""Waiting for something to do."""

from __future__ import annotations

import asyncio
from functools import partial

__all__ = ["Sleeper"]


class Sleeper:
    """One task that sleeps until somebody wakes it, or until a time has passed."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[bool] | None = None

    async def sleep(self, seconds: float | None) -> bool:
        """Wait to be woken. Returns whether the time has passed instead; `None` is no time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        timer = None if seconds is None else loop.call_later(seconds, partial(self.wake, in_time=True))
        try:
            return await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def wake(self, *, in_time: bool = False) -> None:
        """End the sleep, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(in_time)
