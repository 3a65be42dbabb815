"""The books of a producer: `accepted == delivered + rejected + dropped + spooled + pending`, after every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from dfinery_async.config import DeliveryConfig
from dfinery_async.core.work import Work
from dfinery_async.models import Stats

__all__ = ["Books", "Fate", "total"]

Fate: TypeAlias = Literal["delivered", "rejected", "dropped", "spooled"]
"""What becomes of a work in the end."""


class Books:
    """Counts of works by fate, and of those that each flush waits for.

    Attributes:
        accepted: taken over from callers, or found on disk.
        pending: those in memory that wait or are in the air.
        pending_bytes: their size.
        away: those that wait on disk alone.
        away_bytes: their size.
        fates: the others, by what became of them.
    """

    def __init__(self) -> None:
        self.accepted: int = 0
        self.pending: int = 0
        self.pending_bytes: int = 0
        self.away: int = 0
        self.away_bytes: int = 0
        self.fates: dict[Fate, int] = {"delivered": 0, "rejected": 0, "dropped": 0, "spooled": 0}
        self.requests = 0
        self.retries = 0
        self.throttled = 0
        self._epoch = 0
        self._in_epoch = 0  # pending works of this epoch
        self._in_old: dict[int, int] = {}  # and of the earlier ones that have any

    def has_room(self, work: Work, config: DeliveryConfig) -> bool:
        """Whether a work may come in now. One always may when nothing is pending, however large it is."""
        return self.pending == 0 or (
            self.pending < config.max_pending_events and self.pending_bytes + work.size <= config.max_pending_bytes
        )

    def accept(self, work: Work) -> None:
        """Enter a work that was taken over from its caller."""
        if self._epoch:
            work.epoch = self._epoch
        self.accepted += 1
        self.pending += 1
        self.pending_bytes += work.size
        self._in_epoch += 1

    def settle(self, works: Sequence[Work], fate: Fate) -> bool:
        """Enter the fate of works, once each. Returns whether an epoch has come to its end by it."""
        total = len(works)
        if total == 1:  # with many users nearly all
            size, ended = works[0].size, self._leave(works[0].epoch, 1)
        else:
            size, epochs = sum([work.size for work in works]), [work.epoch for work in works]
            if epochs.count(self._epoch) == total > 0:
                ended = self._leave(self._epoch, total)
            else:  # rare: a flush came between
                ends = [self._leave(epoch, count) for epoch, count in Counter(epochs).items()]
                ended = any(ends)
        self.pending -= total
        self.pending_bytes -= size
        self.fates[fate] += total
        return ended

    def withdraw(self, work: Work) -> bool:
        """A work that was entered was not taken over after all. Returns whether an epoch has come to its end by it."""
        self.accepted -= 1
        self.pending -= 1
        self.pending_bytes -= work.size
        return self._leave(work.epoch, 1)

    def find(self, count: int, size: int) -> int:
        """Enter works that were found on disk. Returns their epoch."""
        self.accepted += count
        self.away += count
        self.away_bytes += size
        self._in_epoch += count
        return self._epoch

    def put_away(self, work: Work) -> None:
        """A work is on disk alone from now on."""
        self.pending -= 1
        self.pending_bytes -= work.size
        self.away += 1
        self.away_bytes += work.size

    def bring_back(self, work: Work) -> None:
        """A work is in memory again."""
        self.pending += 1
        self.pending_bytes += work.size
        self.away -= 1
        self.away_bytes -= work.size

    def settle_away(self, count: int, size: int, epoch: int, fate: Fate) -> bool:
        """Enter the fate of works that are on disk alone. Returns whether an epoch has come to its end by it."""
        self.away -= count
        self.away_bytes -= size
        self.fates[fate] += count
        return count > 0 and self._leave(epoch, count)

    def keep_away(self) -> None:
        """Enter at the end that what is on disk alone stays there."""
        self.fates["spooled"] += self.away
        self.away = self.away_bytes = 0

    def close_epoch(self) -> int:
        """Begin a new epoch and return the old one: it covers all that was accepted up to now."""
        if self._in_epoch:
            self._in_old[self._epoch] = self._in_epoch
            self._in_epoch = 0
        self._epoch += 1
        return self._epoch - 1

    def open_up_to(self, epoch: int) -> bool:
        """Whether works of this epoch or an earlier one are still pending."""
        return any(open_epoch <= epoch for open_epoch in self._in_old)

    def _leave(self, epoch: int, count: int) -> bool:
        left = (self._in_epoch if epoch == self._epoch else self._in_old.get(epoch, 0)) - count
        if left < 0:
            raise ValueError("a work was settled twice")
        if epoch == self._epoch:
            self._in_epoch = left
        elif left:
            self._in_old[epoch] = left
        else:
            del self._in_old[epoch]
        return not left


def total(several: Sequence[Stats]) -> Stats:
    """Add up the books of several producers. `state` is the worst there is; times are the longest."""
    figures = [each.to_dict() for each in several]
    return Stats(
        **{name: _AS_ONE.get(name, sum)([each[name] for each in figures]) for name in Stats.__struct_fields__},
    )


_WORST_FIRST = (
    *("failed", "misconfigured", "unauthorized", "unreachable", "throttled"),
    *("closing", "running", "closed"),
)
_AS_ONE: dict[str, Callable[[list[Any]], Any]] = {
    "silent_for": max,
    "seconds": max,
    "state": lambda states: min(states, key=_WORST_FIRST.index),
}
