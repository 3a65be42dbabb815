"""What is to be written, in order, and what one transaction takes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from dfinery_async.runtime.spool.placement import Entry, Keeper
from dfinery_async.runtime.spool.stores import Outcome, Stores
from dfinery_async.runtime.spool.writer import Step

__all__ = ["Job", "Queue"]

_ROWS: Final = 2000  # in one transaction
_BYTES: Final = 2 * 1024 * 1024
_ROW: Final = 48  # bytes that a row takes beside what it holds


class Job:
    """One transaction in each store.

    Args:
        entries: the units that it writes.
        steps: what it does, by rank.

    Attributes:
        outcome: how it went; `None` until that is known.
    """

    def __init__(self, entries: Sequence[Entry], steps: dict[int, Step]) -> None:
        self.entries = entries
        self.steps = steps
        self.outcome: Outcome | None = None

    def run(self, stores: Stores) -> None:
        """Do it, in the spool's thread."""
        self.outcome = stores.commit(self.steps)


class Queue:
    """Units that wait to be written.

    Args:
        keeper: the producer.

    Attributes:
        size: about the bytes that they will take up on disk.
    """

    def __init__(self, keeper: Keeper) -> None:
        self.size: int = 0
        self._entries: deque[Entry] = deque()
        self._keeper = keeper

    def __bool__(self) -> bool:
        return bool(self._entries)

    def put(self, entry: Entry) -> None:
        """Add one."""
        self._entries.append(entry)
        self.size += entry.receipt.size + len(entry.key) + _ROW

    def take(self) -> list[Entry]:
        """Take out what one transaction writes."""
        taken: list[Entry] = []
        before = self.size
        while self._entries and len(taken) < _ROWS and before - self.size < _BYTES:
            entry = self._entries.popleft()
            self.size -= entry.receipt.size + len(entry.key) + _ROW
            if not (entry.sent and entry.receipt.done()):  # delivered before it was written
                taken.append(entry)
        return taken

    def take_all(self) -> list[Entry]:
        """Take out all of it."""
        taken, self._entries = list(self._entries), deque()
        self.size = 0
        return taken

    def give_back(self, entries: Iterable[Entry], error: Exception) -> None:
        """Units could not be written: whoever waits for them hears it, the others are sent from memory."""
        for entry in entries:
            if entry.sent:
                continue
            if entry.waiter is None:
                self._keeper.enter(entry.key, entry.receipt)
                continue
            self._keeper.withdrawn(entry.receipt)
            if not entry.waiter.done():
                entry.waiter.set_exception(error)
