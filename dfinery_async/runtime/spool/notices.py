"""Tells other processes how much waits in our slots, now and then: they can't look themselves while we are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from dfinery_async.core.spool_figures import Ages, Figures
from dfinery_async.core.spool_shelf import Shelf
from dfinery_async.runtime.spool.stores import Stores
from dfinery_async.runtime.spool.worker import Worker

__all__ = ["Notices"]

_EVERY: Final = 2.0  # seconds


class Notices:
    """Writes figures when they have changed, while nobody waits for the disk.

    Args:
        stores: where they are written.
        worker: the spool's thread.
    """

    def __init__(self, stores: Stores, worker: Worker) -> None:
        self._stores = stores
        self._worker = worker
        self._due = 0.0
        self._ages: dict[int, Ages] = {}
        self._told: dict[int, tuple[int, float | None]] = {}

    async def tell(self, shelves: Sequence[Shelf], *, at_rest: bool = False) -> None:
        """Write what has changed, unless that was done just now.

        Args:
            shelves: what to tell of.
            at_rest: write in any case, as nothing more may come for a while.
        """
        now = asyncio.get_running_loop().time()
        if now < self._due and not at_rest:
            return
        self._due = now + _EVERY
        if changed := self._changed(shelves, time.time()):
            await self._worker.run(partial(self._stores.tell, changed))

    def _changed(self, shelves: Sequence[Shelf], moment: float) -> dict[int, Figures]:
        changed: dict[int, Figures] = {}
        for shelf in shelves:
            if shelf.retired:
                continue
            ages = self._ages.setdefault(shelf.rank, Ages(shelf.last, moment))
            ages.note(shelf.last, moment)
            told = shelf.waiting, ages.of(shelf.low + 1) if shelf.waiting else None
            if told != self._told.get(shelf.rank):
                self._told[shelf.rank] = told
                changed[shelf.rank] = Figures(units=told[0], oldest=told[1], moment=moment)
        return changed
