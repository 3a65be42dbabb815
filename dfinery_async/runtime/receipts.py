"""Receipts: what a caller of `track` holds, and what the producer settles."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from dfinery_async.core.work import Work
from dfinery_async.errors import DeliveryError, DfineryError
from dfinery_async.models import Delivery

__all__ = ["Receipt"]


class Receipt(Work):
    """The promise of an outcome for one accepted unit.

    `await receipt` gives a `Delivery`, or raises `DeliveryError` whose `__cause__` says why it could not be delivered.
    It may be awaited any number of times, by several tasks, or never. A future is made only where somebody waits.
    """

    __slots__ = ("_outcome", "_waiters")

    _outcome: Delivery | DfineryError | None
    _waiters: list[asyncio.Future[None]] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outcome = None
        self._waiters = None

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    def resolve(self, outcome: Delivery | DfineryError) -> None:
        """Enter the outcome, and wake whoever waits for it. Called by the producer."""
        self._outcome = outcome
        self.payload: Any = None  # what was sent is not needed any more, however long the receipt is kept
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, Delivery]:
        if self._outcome is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            yield from waiter
        outcome = self._outcome
        if isinstance(outcome, Delivery):
            return outcome
        raise DeliveryError(f"not delivered: {outcome}") from outcome

    def __repr__(self) -> str:
        return f"<Receipt {'pending' if self._outcome is None else 'done'}>"
