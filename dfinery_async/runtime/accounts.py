"""A producer's books as others see them: figures and reports, and whoever waits for them to be even."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dfinery_async.core.books import Books, Fate
from dfinery_async.core.work import Work
from dfinery_async.errors import DfineryError
from dfinery_async.models import Delivery, Report
from dfinery_async.runtime.receipts import Receipt

__all__ = ["Accounts"]


class Accounts:
    """Enters what became of works, and tells whom it concerns.

    Attributes:
        books: the counts.
        closing: the last report, once there is one: nothing is entered after it.
    """

    def __init__(self) -> None:
        self.books: Books = Books()
        self.closing: Report | None = None
        self._time = asyncio.get_running_loop().time
        self._opened_at = self._time()
        self._flushes: list[asyncio.Future[None]] = []

    def settle(self, works: Sequence[Work], fate: Fate, outcome: Delivery | DfineryError) -> None:
        """Enter the fate of works, and let their receipts know."""
        ended = self.books.settle(works, fate)
        Receipt.resolve(works, outcome)
        if ended:
            self._wake()

    def withdraw(self, work: Work) -> None:
        """Take out a work that was entered, and not taken over after all."""
        if self.books.withdraw(work):
            self._wake()

    def settle_away(self, count: int, size: int, epoch: int, fate: Fate) -> None:
        """Enter the fate of works that are on disk alone."""
        if self.books.settle_away(count, size, epoch, fate):
            self._wake()

    def close(self, figures: dict[str, Any]) -> Report:
        """Make the last report. Whoever still waits hears of it."""
        self.closing = Report(**figures)
        self._wake()
        return self.closing

    async def even(self, epoch: int, timeout: float | None) -> None:
        """Wait until all works of an epoch are settled, for at most `timeout` seconds, or until the last report."""
        try:
            async with asyncio.timeout(timeout):
                while self.closing is None and self.books.open_up_to(epoch):
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._flushes.append(waiter)
                    await waiter
        except TimeoutError:
            pass

    def figures(self) -> dict[str, Any]:
        """Return the counts of this moment by their public names."""
        books = self.books
        return {
            "accepted": books.accepted,
            "delivered": books.fates["delivered"],
            "rejected": books.fates["rejected"],
            "dropped": books.fates["dropped"],
            "spooled": books.fates["spooled"],
            "pending": books.pending + books.away,
            "pending_bytes": books.pending_bytes + books.away_bytes,
            "requests": books.requests,
            "retries": books.retries,
            "throttled": books.throttled,
            "seconds": self._time() - self._opened_at,
        }

    def _wake(self) -> None:
        flushes, self._flushes = self._flushes, []
        for waiter in flushes:
            if not waiter.done():
                waiter.set_result(None)
