"""A quota that is shared through a place of its own: leases of calls, asked for in blocks.

Whoever lends keeps the books of all clients. We tell what replies say, and what became of the lease before. When nobody
answers, the law of `core/sharing.py` takes over at once, and the lender is asked again now and then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import Final, Protocol

import msgspec

from dfinery_async.config import Family
from dfinery_async.core.quota import QuotaWindow
from dfinery_async.runtime.clock import now as _now

__all__ = ["SHARING", "Away", "Lease", "Leases", "Lender", "QuotaShare", "Told"]

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a client tells when it asks for a lease.

    Attributes:
        unused: calls that were lent and not made since it asked last; below zero when more were made than lent.
        answered: calls that replies have counted since then.
        limit: calls in a window, as far as is known.
        period: length of the window in seconds.
        span: seconds over which a quota is spread at the most.
        remaining: calls left, by the newest reply of this window; `None` where there was none.
        heard: calls of our own in this window that replies had counted by then.
        reset_in: seconds until the window ends.
        dated: whether that was told by the server's clock.
    """

    unused: int
    answered: int
    limit: int
    period: float
    span: float
    remaining: int | None = None
    heard: int = 0
    reset_in: float | None = None
    dated: bool = False


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is given.

    Attributes:
        calls: that may be made.
        seconds: over which they are to be spread, 0 for at once; with no calls, after which it is worth asking again.
        ends_in: seconds after which what is left of them must not be made any more.
        clients: how many share at present.
    """

    calls: int
    seconds: float
    ends_in: float
    clients: int = 1


class Away(Exception):
    """Whoever lends cannot be reached."""


class Leases(Protocol):
    """The books of one family of one service."""

    async def ask(self, told: Told) -> Lease:
        """Ask for the next lease.

        Raises:
            Away: there was no answer in time.
        """
        ...

    async def leave(self, told: Told | None) -> None:
        """Give back what is left, if anything is told of it, and close. Raises nothing."""
        ...


class QuotaShare(Protocol):
    """A setting of the client: where the quota is shared. It opens nothing before it is used, and can be pickled."""

    def open(self, service_id: str, family: Family) -> Leases:
        """Return the books of one family."""
        ...


SHARING: Final = ("open",)
"""What a share of a quota can do."""


class Lender:
    """One family's leases, as its pacer sees them.

    Args:
        leases: the books.
        window: what replies say, and how many calls were made.

    Attributes:
        active: whether leases count at present, and not the law of sharing.
        in_hand: calls of the lease that were not handed out yet.
    """

    def __init__(self, leases: Leases, window: QuotaWindow) -> None:
        self.active: bool = False
        self.in_hand: int = 0
        self._leases = leases
        self._window = window
        self._until = -math.inf
        self._ask_at = -math.inf
        self._pace: float | None = None
        self._pause = _FIRST_PAUSE
        self._lent = 0
        self._made = window.made  # calls that were told already
        self._answered = window.answered

    async def renew(self) -> float:
        """Have a lease, if there is one. Returns the seconds after which it is worth asking again; 0 is for a lease."""
        now = _now()
        if self.active and self.in_hand and now < self._until:
            return 0.0
        self.in_hand = 0
        if now < self._ask_at:
            return self._ask_at - now if self.active else 0.0
        told = self._told()
        try:
            lease = await _uncancelled(self._leases.ask(told))
        except Away:
            self.active = self._window.leased = False
            self._ask_at = _now() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return 0.0
        self._note(told)
        self._pause = _FIRST_PAUSE
        self.active = self._window.leased = True
        self._window.share_with(lease.clients)
        self._lent = self.in_hand = lease.calls
        self._until = now + lease.ends_in
        self._pace = lease.calls / lease.seconds if lease.seconds else None
        self._ask_at = -math.inf if lease.calls else now + lease.seconds
        return 0.0 if lease.calls else max(lease.seconds, 0.001)

    def pace(self) -> float | None:
        """Return the calls a second that a lease is to be spread to; `None` for at once."""
        most = self._window.most
        return most if self._pace is None or (most is not None and most < self._pace) else self._pace

    async def aclose(self) -> None:
        """Give back what is left."""
        await self._leases.leave(self._told() if self.active else None)

    def _told(self) -> Told:
        window = self._window
        reset_in = None if window.reset_at is None or window.guessed else window.reset_at - _now()
        return Told(
            unused=self._lent - (window.made - self._made),
            answered=window.answered - self._answered,
            limit=int(window.limit),
            period=window.period,
            span=window.span(),
            remaining=window.remaining,
            heard=window.heard,
            reset_in=reset_in,
            dated=window.dated,
        )

    def _note(self, told: Told) -> None:
        """What was told need not be told again."""
        self._made += self._lent - told.unused
        self._answered += told.answered
        self._lent = 0


async def _uncancelled(asked: Awaitable[Lease]) -> Lease:
    """Wait for a lease, and end where the task was cancelled meanwhile: redis-py may swallow that while it connects."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        return await asked
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
