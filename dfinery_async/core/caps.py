"""How large a request may be: the bounds of the API, and what its answers teach of smaller ones."""

from __future__ import annotations

import msgspec

from dfinery_async.core.work import Batch

__all__ = ["Caps"]

_LEAST_PATIENCE = 8
_MOST_PATIENCE = 1024


class Caps(msgspec.Struct):
    """Bounds of one request (API guide, "Event": up to 100 events and 100 items).

    A refusal halves the bound on events. It may have been a whim, or the fault of a few large events, so the bound
    comes back: after eight full requests one, and no more, is a trial of up to twice the size. One that goes through is
    the new bound. After one that is refused, the next is half as bold and twice as late, up to 1,024 full requests: a
    smaller limit that is real is found, and then costs one refusal in a thousand.

    Attributes:
        events: what the next request may hold; more than `proven` when a trial is due.
        items: items of all its events.
        bytes: size of its body.
        proven: events that go through as far as is known.
        narrowed: whether that is less than it was at the beginning, so that there is something to learn.
    """

    events: int = 100
    items: int = 100
    bytes: int = 1024 * 1024
    proven: int = 0
    narrowed: bool = False
    _most: int = 0
    _full: int = 0  # full requests delivered since the last trial or refusal
    _patience: int = _LEAST_PATIENCE  # of these, so many before the next trial
    _step: int = 0  # by how much it is larger
    _trial: int = 0  # size of the trial that has no answer yet

    def __post_init__(self) -> None:
        self.proven = self._most = self.events

    def tries(self, count: int) -> None:
        """Note that a request of events is cut that is larger than what is proven: it is the only one."""
        self._trial = count
        self._begin()

    def delivered(self, batch: Batch) -> None:
        """Learn from a request that went through."""
        if not self.narrowed or batch.works[0].family != "events":
            return  # however many profiles are merged, their request holds one
        count = len(batch.works)
        if count == self._trial > self.proven:
            self.proven = count
            self._step *= 2
            self._patience = _LEAST_PATIENCE
            self._trial = 0
            self._begin()
        elif count >= self.proven:
            self._full += 1
            if self._full >= self._patience:
                self.events = min(self._most, self.proven + min(self._step, self.proven))

    def shrink(self, batch: Batch) -> None:
        """Learn from a request that was too large. One work by itself says nothing of how many may go together."""
        count = len(batch.works)
        if 1 < count <= self.proven:
            self.proven = self._step = count // 2
            self._patience = _LEAST_PATIENCE
            self._begin()
        elif count == self._trial > self.proven:
            self._step = max(1, (count - self.proven) // 2)
            self._patience = min(_MOST_PATIENCE, self._patience * 2)
            self._trial = 0
            self._begin()

    def _begin(self) -> None:
        self.events = self.proven
        self.narrowed = self.proven < self._most
        self._full = 0
