"""Receipts: what a caller of `track` holds, and what the producer settles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any

from dfinery_async.core.work import Work
from dfinery_async.errors import DeliveryError, DfineryError
from dfinery_async.models import Delivery

__all__ = ["KeptReceipt", "Receipt"]


class Receipt(Work, eq=False):
    """The promise of an outcome for one accepted unit.

    `await receipt` gives a `Delivery`, or raises `DeliveryError` whose `__cause__` says why it could not be delivered.
    It may be awaited any number of times, by several tasks in the event loop of its producer, or never. A future is
    made only where somebody waits.
    """

    _outcome: Delivery | DfineryError | None = None
    _waiters: list[asyncio.Future[None]] | None = None

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    @staticmethod
    def resolve(receipts: Iterable[Any], outcome: Delivery | DfineryError) -> None:
        """Enter the outcome of all that a request carried, and wake whoever waits for it. Called by the producer."""
        receipt: Receipt
        for receipt in receipts:
            receipt._outcome = outcome  # noqa: SLF001 - our own
            receipt.payload = None  # what was sent is not needed any more, however long the receipt is kept
            if receipt._waiters is not None:  # noqa: SLF001
                waiters, receipt._waiters = receipt._waiters, None  # noqa: SLF001
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    async def settled(self) -> None:
        """Wait until the outcome is known, which it must not be yet."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter

    def __await__(self) -> Generator[Any, None, Delivery]:
        if self._outcome is None:
            yield from self.settled().__await__()
        outcome = self._outcome
        if isinstance(outcome, Delivery):
            return outcome
        raise DeliveryError(f"not delivered: {outcome}") from outcome

    def __repr__(self) -> str:
        return f"<Receipt {'pending' if self._outcome is None else 'done'}>"


class KeptReceipt(Receipt, eq=False, weakref=True):
    """The receipt of a unit that may be kept on disk.

    Attributes:
        patience: waits in the place of whoever awaits it, and may say that the unit is safe before its outcome is
            known; without one the outcome is waited for.
    """

    patience: Callable[[KeptReceipt], Coroutine[Any, Any, Delivery | None]] | None = None

    def __await__(self) -> Generator[Any, None, Delivery]:
        if self._outcome is None and self.patience is not None:
            safe = yield from self.patience(self).__await__()
            if safe is not None:
                return safe
        return (yield from Receipt.__await__(self))
