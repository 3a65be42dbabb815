"""All the stores of one spool: our own, and those of dead processes that were taken over. In the spool's thread."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dfinery_async.config import SpoolConfig
from dfinery_async.core.spool_figures import Figures
from dfinery_async.core.spool_shelf import Shelf
from dfinery_async.errors import SpoolCorrupt, SpoolError
from dfinery_async.runtime.spool.files import check_disk
from dfinery_async.runtime.spool.rescue import open_or_rescue
from dfinery_async.runtime.spool.slots import Slot, claim, take_over
from dfinery_async.runtime.spool.store import Found, Store, Window
from dfinery_async.runtime.spool.writer import Committed, Step

__all__ = ["Opened", "Outcome", "Stores"]

_LOOK_EVERY: Final = 256 * 1024  # bytes appended, before it is asked again how much room they take
_log = logging.getLogger("dfinery_async.spool")


class Opened(NamedTuple):
    """What there is to send.

    Attributes:
        shelves: those of others first, our own last.
        units: how many wait in all of them.
        size: their size.
        marks: values that were kept by name.
    """

    shelves: list[Shelf]
    units: int
    size: int
    marks: dict[str, str]


class Outcome(NamedTuple):
    """How steps went, by rank, and how many bytes our own store uses."""

    steps: Mapping[int, Committed]
    used: int


class Reopened(NamedTuple):
    """What a store holds that was opened again.

    Attributes:
        units: how many are on disk alone.
        size: their size.
        kept: which of those in memory are on disk; `None` where all of them are, as before.
    """

    units: int
    size: int
    kept: frozenset[int] | None


class Stores:
    """The stores by rank; the last one is our own.

    Args:
        config: where, and how.
        binding: whose units these are.
    """

    def __init__(self, config: SpoolConfig, binding: str) -> None:
        self._config = config
        self._binding = binding
        self._root = Path(config.path).absolute()
        self._places: list[tuple[Slot, Store] | None] = []
        self._opened: Opened | None = None
        self._used = 0
        self._appended = _LOOK_EVERY

    def open(self) -> Opened:
        """Take a slot, and all slots with work whose owner died; once, however often it is called.

        Raises:
            SpoolError: as its kinds say.
        """
        if self._opened is not None:
            return self._opened
        slot = claim(self._root, alone=self._config.exclusive)
        try:
            check_disk(self._root)
            store = self._store(slot)
            found = open_or_rescue(store)
            inherited = self._take_over()
            self._places.append((slot, store))
        except BaseException:
            self.close()
            slot.release()
            raise
        founds = [*inherited, found]
        shelves = [
            Shelf(rank, each.first, each.last, noted=each.done, notes=each.notes, away=each.units)
            for rank, each in enumerate(founds)
        ]
        units, size = sum(each.units for each in founds), sum(each.size for each in founds)
        self._opened = Opened(shelves, units, size, store.marks(""))
        return self._opened

    def _take_over(self) -> list[Found]:
        inherited: list[Found] = []
        for slot in take_over(self._root):
            store = self._store(slot)
            try:
                found = open_or_rescue(store)
            except SpoolCorrupt:
                slot.release()
                raise
            except SpoolError as error:
                _log.warning("a slot of the spool is left as it is: %s", error)
                slot.release()
                continue
            if found.units or found.notes:  # what is only noted as done is still to be deleted
                inherited.append(found)
                self._places.append((slot, store))
            else:
                store.close()
                slot.release()
        return inherited

    def _store(self, slot: Slot) -> Store:
        return Store(slot.folder, self._binding, self._config.durability, self._config.max_bytes)

    @property
    def seed(self) -> int:
        """Where the checksums of our rows begin."""
        return self._own.seed

    def commit(self, steps: Mapping[int, Step]) -> Outcome:
        """Do the steps of one turn. The rows are our own store's."""
        done: dict[int, Committed] = {}
        for rank, step in steps.items():
            try:
                done[rank] = self._at(rank).commit(step)
            except SpoolError as error:
                done[rank] = Committed(0, error, error)
        self._appended += sum([len(row[5]) for step in steps.values() for row in step.rows])
        if self._appended >= _LOOK_EVERY or any(step.cleanup for step in steps.values()):
            self._appended = 0
            with contextlib.suppress(SpoolError, sqlite3.Error):
                self._used = self._own.used()
        return Outcome(done, self._used + self._appended)

    def read(self, rank: int, after: int, most: int, most_bytes: int) -> Window:
        """Read units of one store in order."""
        return self._at(rank).read(after, most, most_bytes)

    def tell(self, figures: Mapping[int, Figures]) -> None:
        """Tell others how much waits in stores, by rank."""
        for rank, each in figures.items():
            if (place := self._places[rank] if rank < len(self._places) else None) is not None:
                place[0].tell(each)

    def tidy(self) -> bool:
        """Give room back to the disk. Returns whether there is more of that."""
        return sum(store.tidy() for _, store in filter(None, self._places)) > 0

    def retire(self, rank: int) -> None:
        """Give back a slot that was taken over, as all of it is done."""
        place, self._places[rank] = self._places[rank], None
        if place is not None:
            place[1].close()
            place[0].release()

    def reopen(self, rank: int, last: int, read_to: int) -> Reopened:
        """Open a store again after it failed; what nobody was told to be kept is deleted.

        Args:
            rank: which.
            last: the highest number that was confirmed.
            read_to: what is in memory up to.

        Raises:
            SpoolError: it fails again.
        """
        store = self._at(rank)
        store.close()
        kept: frozenset[int] | None = None
        try:
            open_or_rescue(store)
        except SpoolCorrupt:
            store.open()
            kept = store.numbers(read_to)
        store.forget(last)
        return Reopened(*store.waiting(read_to), kept)

    def close(self) -> None:
        """Close all stores and give all slots back."""
        places, self._places = self._places, []
        for slot, store in filter(None, places):
            store.close()
            slot.release()

    @property
    def _own(self) -> Store:
        return self._at(len(self._places) - 1)

    def _at(self, rank: int) -> Store:
        place = self._places[rank] if 0 <= rank < len(self._places) else None
        if place is None:
            raise SpoolError("the spool is closed")
        return place[1]
