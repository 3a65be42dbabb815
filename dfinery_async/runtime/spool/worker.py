"""The spool's one thread. SQLite waits for the disk in it, so that the event loop does not; nothing else runs there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dfinery_async.errors import SpoolError
from dfinery_async.runtime.spool import forks

__all__ = ["Worker"]

T = TypeVar("T")


class Worker:
    """Runs one piece of work at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="dfinery-spool")
        forks.guard(self)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a piece of work, and let the loop go on meanwhile."""
        if self._executor is None:  # without one, asyncio would take its own threads
            raise SpoolError("the spool is closed")
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def run_now(self, work: Callable[[], T], patience: float) -> T:
        """Run a piece of work and wait for it, the loop as well.

        Raises:
            TimeoutError: it is not done within `patience` seconds; it goes on all the same.
        """
        if self._executor is None:
            raise TimeoutError
        return self._executor.submit(work).result(patience)

    def end_with(self, work: Callable[[], object]) -> None:
        """Run a last piece of work; then the thread ends."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.submit(work)
            executor.shutdown(wait=False)

    def drop(self) -> None:
        """In a forked child: there is no such thread here."""
        self._executor = None
