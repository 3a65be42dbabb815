"""Which flushes cover the units that are on disk alone."""

from __future__ import annotations

from collections import deque

__all__ = ["AwayEpochs"]


class AwayEpochs:
    """Epochs of units by their numbers. Both grow together, so that the changes are all there is to keep.

    Args:
        found: the epoch of those that were on disk from the beginning.
    """

    def __init__(self, found: int = 0) -> None:
        self._changes: deque[tuple[int, int]] = deque([(0, found)])  # from this number on, this epoch

    def went(self, seq: int, epoch: int) -> None:
        """Note a unit that left the memory; they come in order."""
        if self._changes[-1][1] != epoch:
            self._changes.append((seq, epoch))

    def of(self, seq: int) -> int:
        """Return the epoch of a unit that comes back; they come in order."""
        while len(self._changes) > 1 and self._changes[1][0] <= seq:
            self._changes.popleft()
        return self._changes[0][1]
