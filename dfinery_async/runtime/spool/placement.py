"""Where units are: on disk and in memory, or on disk alone, to be read back in windows when there is room."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from dfinery_async.config import DeliveryConfig
from dfinery_async.core.books import Books
from dfinery_async.core.spool_away import AwayEpochs
from dfinery_async.core.spool_shelf import RANK, Shelf, shelf_of
from dfinery_async.core.work import Work
from dfinery_async.models import Delivery
from dfinery_async.runtime.receipts import Receipt
from dfinery_async.runtime.spool.store import Window

__all__ = ["Entry", "Keeper", "Placement", "Waiter"]

_WINDOW: Final = 2000
_WINDOW_BYTES: Final = 8 * 1024 * 1024


class Waiter(Protocol):
    """Who waits until a unit is on disk. A future is one."""

    def done(self) -> bool:
        """Whether it waits no longer."""
        ...

    def set_result(self, result: Any, /) -> None:
        """The unit is on disk."""

    def set_exception(self, error: Any, /) -> None:
        """It is not, and was not taken over."""


class Keeper(Protocol):
    """Whose units these are: the producer."""

    def enter(self, key: bytes, receipt: Receipt) -> None:
        """Send a unit when its turn comes."""

    def engaged(self, *, on: bool) -> None:
        """Whether units are to be written before anything else happens to them has changed."""

    def release(self) -> None:
        """Send what waits, however full its requests are."""

    def unsettled(self) -> Iterator[tuple[bytes, Work]]:
        """Give all units in memory, each user's in order."""
        ...

    def reachable(self) -> bool:
        """Whether requests get through."""
        ...

    def withdrawn(self, receipt: Receipt) -> None:
        """A unit was not taken over after all."""

    def damaged(self, count: int, size: int, epoch: int) -> None:
        """Units on disk can't be read any more."""

    def unspooled(self, error: BaseException) -> None:
        """The spool can't be used."""


class Entry(msgspec.Struct, frozen=True, gc=False):  # made for every unit: a named tuple takes four times as long
    """A unit that is to be written.

    Attributes:
        key: whose it is.
        receipt: the unit.
        waiter: who waits for it.
        mark: a name and a value to be kept together with it.
        sent: whether it is in the lanes already.
    """

    key: bytes
    receipt: Receipt
    waiter: Waiter | None = None
    mark: tuple[str, str] | None = None
    sent: bool = False


class Placement:
    """Keeps as many units in memory as there may be, always the oldest ones.

    Args:
        delivery: how many that is.
        books: the producer's.
        keeper: the producer.

    Attributes:
        shelves: by rank; our own is the last one.
    """

    def __init__(self, delivery: DeliveryConfig, books: Books, keeper: Keeper) -> None:
        self.shelves: list[Shelf] = []
        self._delivery = delivery
        self._books = books
        self._keeper = keeper
        self._held: weakref.WeakValueDictionary[int, Receipt] = weakref.WeakValueDictionary()
        self._epochs = AwayEpochs()
        self._time = asyncio.get_running_loop().time

    @property
    def own(self) -> Shelf:
        """The shelf that takes what is new."""
        return self.shelves[-1]

    @property
    def caught_up(self) -> bool:
        """Whether nothing is on disk alone."""
        return not self._books.away and all(shelf.caught_up for shelf in self.shelves)

    def stock(self, shelves: list[Shelf], count: int, size: int) -> None:
        """Take in what was found on disk."""
        self.shelves = shelves
        self._epochs = AwayEpochs(self._books.find(count, size))
        if not count:
            for shelf in shelves:
                shelf.read_to = shelf.last

    def place(self, entries: Sequence[Entry]) -> None:
        """Take in units that were written just now, in order."""
        shelf, books, delivery = self.own, self._books, self._delivery
        inside = self.caught_up
        number = shelf.last
        shelf.last += len(entries)
        for entry in entries:
            number += 1
            receipt = entry.receipt
            if entry.sent:
                shelf.enter(receipt, number)
            elif (
                inside
                and books.pending <= delivery.max_pending_events
                and books.pending_bytes <= delivery.max_pending_bytes
            ):
                shelf.enter(receipt, number)
                self._keeper.enter(entry.key, receipt)
            else:
                inside = False
                self._send_away(receipt, shelf.rank * RANK + number)
            if entry.waiter is not None and not entry.waiter.done():
                entry.waiter.set_result(None)

    def _send_away(self, receipt: Receipt, seq: int) -> None:
        self._books.put_away(receipt)
        self.own.away += 1
        self._epochs.went(seq, receipt.epoch)
        receipt.payload, receipt.seq = None, seq
        self._held[seq] = receipt  # as long as anybody holds it

    def wanted(self) -> tuple[int, int, int, int] | None:
        """Return which rows to read next: rank, behind which number, how many, and bytes at the most."""
        books, delivery = self._books, self._delivery
        if not books.away or books.pending > delivery.max_pending_events // 2:
            return None
        if books.pending_bytes > delivery.max_pending_bytes // 2:
            return None
        for shelf in self.shelves:
            if not shelf.caught_up:
                most = min(_WINDOW, max(1, delivery.max_pending_events - books.pending))
                most_bytes = min(_WINDOW_BYTES, delivery.max_pending_bytes - books.pending_bytes)
                return shelf.rank, shelf.read_to, most, most_bytes
        return None

    def bring_back(self, rank: int, window: Window) -> None:
        """Take in what was read."""
        shelf, now = self.shelves[rank], self._time()
        shelf.away = 0 if window.up_to is None else max(0, shelf.away - len(window.units) - window.damaged)
        for unit in window.units:
            seq = rank * RANK + unit.seq
            epoch = self._epochs.of(seq)
            receipt = self._held.pop(seq, None)
            if receipt is None:
                receipt = Receipt(unit.family, unit.payload, unit.size, unit.items, now, unit.moment, epoch)
            else:
                receipt.payload, receipt.accepted_at = unit.payload, now
            self._books.bring_back(receipt)
            shelf.enter(receipt, unit.seq)
            self._keeper.enter(unit.key, receipt)
        shelf.read_to = shelf.last if window.up_to is None else window.up_to
        if window.damaged:
            self._keeper.damaged(window.damaged, window.damaged_size, self._epochs.of(rank * RANK + shelf.read_to))

    def recount(self, count: int, size: int) -> None:
        """After damage: so many units are left on disk alone, the others are gone."""
        gone = self._books.away - count
        if gone > 0:
            epoch = self._epochs.of(self.own.rank * RANK + self.own.last)
            self._keeper.damaged(gone, self._books.away_bytes - size, epoch)

    def leave(self, works: Iterable[Work]) -> dict[int, list[int]]:
        """Note that units are done. Returns their numbers by rank."""
        on_disk = [work for work in works if work.seq > 0]
        if not on_disk:
            return {}
        first, last = shelf_of(on_disk[0].seq), shelf_of(on_disk[-1].seq)
        if first == last:  # as nearly always; those of a request stand in the order of their numbers
            return {first: self.shelves[first].leave(on_disk)}
        ranks = range(first, last + 1)
        groups = {rank: [work for work in on_disk if shelf_of(work.seq) == rank] for rank in ranks}
        return {rank: self.shelves[rank].leave(group) for rank, group in groups.items() if group}

    def keep_rest(self) -> None:
        """Tell whoever waits for a unit that is on disk alone that it stays there."""
        Receipt.resolve(list(self._held.values()), Delivery(status="spooled", attempts=0))
        self._books.keep_away()
