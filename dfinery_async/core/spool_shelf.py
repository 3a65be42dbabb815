"""One store of a spool as the loop sees it: what of it is in memory, what is done, and what may be deleted.

Units are numbered in the order in which they were accepted, and come back into memory in that order. A unit that is
done is noted, all those of a request in one note, which costs little. The rows themselves are deleted later, many at
a time and where possible as a range from the oldest on: deleting each by itself would write its page once for every
one of its neighbours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Sequence
from typing import Final, NamedTuple

from dfinery_async.core.work import Work

__all__ = ["RANK", "Cleanup", "Shelf", "local", "shelf_of"]

RANK: Final = 1 << 44
"""Numbers of the units of one shelf: `seq // RANK` says which, shelves that go first have the lower ones."""

_CHUNK: Final = 2048  # rows deleted in one transaction, so that appends need not wait long
_DUE: Final = 4096  # done from the oldest on, before it is worth a deletion
_SCATTERED: Final = 65_536  # done behind one that is not


def shelf_of(seq: int) -> int:
    """Return the shelf of a unit."""
    return abs(seq) // RANK


def local(seq: int) -> int:
    """Return the number of a unit within its shelf."""
    return abs(seq) % RANK


class Cleanup(NamedTuple):
    """Rows to delete: all up to a number, some more, and notes that need not be kept then."""

    up_to: int | None = None
    rows: Sequence[int] = ()
    notes: Sequence[int] = ()

    def __bool__(self) -> bool:
        return self.up_to is not None or bool(self.rows) or bool(self.notes)


class Shelf:
    """The units of one store.

    Args:
        rank: its place among the shelves.
        first: lowest number in it.
        last: highest number in it.
        noted: units that were found to be done.
        notes: and the notes that say so.
        away: units that wait in it.

    Attributes:
        last: highest number that is committed.
        away: units that are on disk alone.
        read_to: all up to here are in memory, or done.
        retired: whether the store was given back.
    """

    def __init__(
        self,
        rank: int,
        first: int = 1,
        last: int = 0,
        *,
        noted: Iterable[int] = (),
        notes: Iterable[int] = (),
        away: int = 0,
    ) -> None:
        self.rank = rank
        self.last: int = last
        self.away: int = away
        self.read_to: int = first - 1
        self.retired: bool = False
        self._in_memory: deque[Work] = deque()  # in the order of their numbers, from the oldest that is not done
        self._scattered = 0  # done ones among them
        self._deleted_to = first - 1
        self._rows: list[int] = sorted(noted, reverse=True)  # to be deleted one by one, highest first
        self._stale: list[int] = list(notes)  # notes on disk that go when all of `_rows` are deleted
        self._notes: list[int] = []  # other notes on disk

    @property
    def caught_up(self) -> bool:
        """Whether nothing of it is on disk alone."""
        return self.read_to >= self.last

    @property
    def finished(self) -> bool:
        """Whether all of it is done."""
        return self.caught_up and not self._in_memory

    @property
    def waiting(self) -> int:
        """How many units of it are on disk and not done."""
        return self.away + len(self._in_memory) - self._scattered

    @property
    def low(self) -> int:
        """All up to here are done."""
        return local(self._in_memory[0].seq) - 1 if self._in_memory else self.read_to

    def enter(self, work: Work, number: int) -> None:
        """Take in a unit that is on disk and in memory; they come in order."""
        work.seq = self.rank * RANK + number
        self.read_to = number
        self._in_memory.append(work)

    def leave(self, works: Sequence[Work]) -> list[int]:
        """Note that units are done. Returns their numbers."""
        numbers = [work.seq % RANK for work in works]
        for work in works:
            work.seq = -work.seq
        self._scattered += len(numbers)
        waiting = self._in_memory
        while waiting and waiting[0].seq < 0:
            waiting.popleft()
            self._scattered -= 1
        return numbers

    def noted(self, note: int) -> None:
        """A note was committed."""
        self._notes.append(note)

    def restore(self, cleanup: Cleanup) -> None:
        """What was to be deleted could not be."""
        if cleanup.up_to is not None:
            self._deleted_to = min(self._deleted_to, max(0, cleanup.up_to - _CHUNK))
        self._rows += cleanup.rows
        self._stale = [*cleanup.notes, *self._stale]

    def lose(self, kept: Container[int]) -> None:
        """After damage: units that are not among those kept are in memory alone."""
        for work in self._in_memory:
            if local(work.seq) not in kept:
                work.seq = 0
        self._in_memory = deque(work for work in self._in_memory if work.seq != 0)
        self._scattered = sum(work.seq < 0 for work in self._in_memory)

    def cleanup(self, *, all_of_it: bool = False) -> Cleanup:
        """Return what is to be deleted next, as much as fits one transaction.

        Args:
            all_of_it: also what is not worth it yet, as there is time now, or no room.
        """
        low = self.low
        gather = not self._rows and (self._scattered >= _SCATTERED or (all_of_it and self._scattered > 0))
        # Before those behind others, all those from the oldest on: their notes are given up together.
        if low > self._deleted_to and (all_of_it or gather or low - self._deleted_to >= _DUE):
            self._deleted_to = min(low, self._deleted_to + _CHUNK)
            self._notes = [note for note in self._notes if note > self._deleted_to]
            return Cleanup(up_to=self._deleted_to)
        if gather:
            self._gather()
        if self._rows or self._stale:
            rows, self._rows = self._rows[-_CHUNK:], self._rows[:-_CHUNK]
            notes: Sequence[int] = ()
            if not self._rows:
                notes, self._stale = self._stale, []
            return Cleanup(rows=rows, notes=notes)
        return Cleanup()

    def _gather(self) -> None:
        """Collect the done ones behind others that are not."""
        self._rows = [local(work.seq) for work in self._in_memory if work.seq < 0]
        self._rows.reverse()
        self._in_memory = deque(work for work in self._in_memory if work.seq > 0)
        self._scattered = 0
        self._stale, self._notes = self._notes, []
