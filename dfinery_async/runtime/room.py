"""Room in a producer: who may hand over now, and who waits, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from dfinery_async.config import DeliveryConfig
from dfinery_async.core.books import Books
from dfinery_async.errors import QueueFull
from dfinery_async.runtime.receipts import Receipt

__all__ = ["Room"]


class Room:
    """The bounds of a producer, by units and by bytes; what is in the air counts.

    Args:
        config: the bounds.
        books: what is pending.
        enter: takes over a work for which there is room.
    """

    def __init__(self, config: DeliveryConfig, books: Books, enter: Callable[[bytes, Receipt], None]) -> None:
        self._config = config
        self._books = books
        self._enter = enter
        self._waiting: deque[tuple[asyncio.Future[None], bytes, Receipt]] = deque()

    @property
    def crowded(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def has(self, receipt: Receipt) -> bool:
        """Whether a work may come in now."""
        return not self._waiting and self._books.has_room(receipt, self._config)

    async def wait(self, key: bytes, receipt: Receipt) -> None:
        """Wait until a work was taken over. Cancelling the wait leaves it out."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((waiter, key, receipt))
        await waiter

    def grant(self) -> None:
        """Let in whoever there is room for now.

        The work is taken over here and not by its waiting caller, so that nobody can come in between.
        """
        while self._waiting:
            waiter, key, receipt = self._waiting[0]
            if not waiter.done():
                if not self._books.has_room(receipt, self._config):
                    return
                receipt.accepted_at = asyncio.get_running_loop().time()
                self._enter(key, receipt)
                waiter.set_result(None)
            self._waiting.popleft()

    def divert(self, take: Callable[[bytes, Receipt, asyncio.Future[None]], None]) -> None:
        """Let all who wait go another way, which ends their wait."""
        waiting, self._waiting = self._waiting, deque()
        for waiter, key, receipt in waiting:
            if not waiter.done():
                take(key, receipt, waiter)

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Send away all who wait."""
        waiting, self._waiting = self._waiting, deque()
        for waiter, _, _ in waiting:
            if not waiter.done():
                waiter.set_exception(error())

    def full(self) -> QueueFull:
        """Make the error for those who may not wait."""
        return QueueFull(
            f"{self._books.pending} units and {self._books.pending_bytes} bytes are pending; "
            "raise max_pending_events or max_pending_bytes, or hand over more slowly"
        )
