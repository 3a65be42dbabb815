"""The books of a producer: `accepted == delivered + rejected + dropped + spooled + pending`, after every step."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dfinery_async.core.work import Work

__all__ = ["Books", "Fate"]

Fate: TypeAlias = Literal["delivered", "rejected", "dropped", "spooled"]
"""What becomes of a work in the end."""


class Books:
    """Counts of works by fate, and of those that each flush waits for."""

    def __init__(self) -> None:
        self.accepted: int = 0
        self.pending: int = 0
        self.pending_bytes: int = 0
        self.fates: dict[Fate, int] = {"delivered": 0, "rejected": 0, "dropped": 0, "spooled": 0}
        self.requests = 0
        self.retries = 0
        self.throttled = 0
        self._epoch = 0
        self._pending_of: dict[int, int] = {}

    def accept(self, work: Work) -> None:
        """Enter a work that was taken over from its caller."""
        work.epoch = self._epoch
        self.accepted += 1
        self.pending += 1
        self.pending_bytes += work.size
        self._pending_of[self._epoch] = self._pending_of.get(self._epoch, 0) + 1

    def settle(self, work: Work, fate: Fate) -> bool:
        """Enter a work's fate, once. Returns whether an epoch has come to its end by it."""
        work.settled = True
        self.pending -= 1
        self.pending_bytes -= work.size
        self.fates[fate] += 1
        left = self._pending_of[work.epoch] - 1
        if left:
            self._pending_of[work.epoch] = left
            return False
        del self._pending_of[work.epoch]
        return True

    def close_epoch(self) -> int:
        """Begin a new epoch and return the old one: it covers all that was accepted up to now."""
        self._epoch += 1
        return self._epoch - 1

    def open_up_to(self, epoch: int) -> bool:
        """Whether works of this epoch or an earlier one are still pending."""
        return any(open_epoch <= epoch for open_epoch in self._pending_of)
