"""Waiting as the quota says: a token bucket for the spread, the window for the end.

aiolimiter's bucket cannot be re-rated, wakes the smallest request first, and lets twice its size through at the start.
So its unit here is *time*: it holds a tenth of a second, leaks one second a second, and a call draws `1/pace` of it;
a change of pace then shows at the next draw. Leave is given in leases of about ten milliseconds of calls, which one
task a family pays for before it gives the next: a call costs a subtraction, and the order of arrival is kept.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections import deque
from collections.abc import Callable
from random import Random

from aiolimiter import AsyncLimiter

from dfinery_async.config import FAMILIES, Family, PacingConfig, RetryConfig
from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import QuotaReader
from dfinery_async.core.reply import Headers, RawHeaders
from dfinery_async.core.retry import backoff
from dfinery_async.errors import ClientClosed, DfineryError, RateLimited
from dfinery_async.models import Quota
from dfinery_async.runtime import clock
from dfinery_async.runtime.clock import now as _now
from dfinery_async.runtime.lending import Leases, Lender
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["LEAST_PATIENCE", "Pacer", "make_pacers"]

_BUCKET = 0.1
_LEASE = 0.01
_PIECE = 1 / 200  # of the time over which a quota is spread: how soon a change of a slow pace shows
_LATE = 0.01  # a timer that rings late by no more than this costs nothing of the user's own limit
_PROBE = 0.1  # until the first answer tells of the quota, one call goes in this time, then two, then four
_MOST_PROBES = 10
_MINUTE, _HOUR = 60.0, 3600.0
LEAST_PATIENCE = 1.0
"""Seconds that are worth waiting for leave in any case: it takes a few turns of the loop where the quota is open."""


def make_pacers(
    pacing: PacingConfig,
    retry: RetryConfig,
    tasks: TaskOwner,
    random: Random,
    leases: Callable[[Family], Leases] | None = None,
) -> dict[Family, Pacer]:
    """Make one pacer a family, so that no family's limit delays another."""
    pacers: dict[Family, Pacer] = {}
    for family in FAMILIES:
        window = QuotaWindow(
            getattr(pacing, family),
            _HOUR if family == "exports" else _MINUTE,
            share=pacing.share,
            horizon=pacing.horizon,
            most=pacing.limit_rate,
        )
        lender = None if leases is None else Lender(leases(family), window)
        pacers[family] = Pacer(window, retry=retry, tasks=tasks, random=random, lender=lender)
    return pacers


class Pacer:
    """Lets calls of one family pass as fast as its quota allows, in the order in which they ask.

    Args:
        window: what is known of the quota.
        retry: how long to hold where a "too many requests" names no end.
        tasks: owner of the task that draws leases.
        random: chance, for jitter.
        lender: of a quota that is shared through a place of its own.
    """

    def __init__(
        self,
        window: QuotaWindow,
        *,
        retry: RetryConfig,
        tasks: TaskOwner,
        random: Random,
        lender: Lender | None = None,
    ) -> None:
        self.window = window
        self._lender = lender
        self.on_credit: list[Callable[[], None]] = []
        self._retry = retry
        self._tasks = tasks
        self._random = random
        self._credits = 0
        self._wanted = False
        self._waiters: deque[tuple[float, asyncio.Future[None]]] = deque()  # each with its deadline
        self._drawing: asyncio.Task[None] | None = None
        self._demand = asyncio.Event()
        self._changed = asyncio.Event()
        self._asleep = False
        self._wakes_at = -math.inf
        self._throttles = 0
        self._reader = QuotaReader()
        self._heard = False  # whether any answer came
        self._probes = 0  # leases given before it
        self._turn_at = -math.inf  # by the user's own limit; no reply and no hold changes it
        self._failure: DfineryError | None = None
        self._time = _now  # the loop's own clock, as soon as there is a loop: that costs a third

    @property
    def has_leave(self) -> bool:
        """Whether a call may be made now; `spend` then takes the leave for it."""
        return self._credits > 0 and not self._waiters and self._failure is None

    def spend(self) -> None:
        """Take leave for one call, which there is."""
        self._credits -= 1
        self.window.spend()

    def try_take(self) -> bool:
        """Take leave for one call, if it may be made now; if not, `on_credit` is called when there is some."""
        if self._failure is not None:
            raise self._failure
        if self._credits > 0 and not self._waiters:
            self.spend()
            return True
        self._wanted = True
        self._draw()
        return False

    async def take(self, deadline: float) -> None:
        """Wait for leave for one call.

        Args:
            deadline: monotonic time until which it is worth waiting.

        Raises:
            RateLimited: the quota is known to stay closed for longer, or there was no leave in time. It has no
                attempts, as nothing was sent.
        """
        if self._failure is not None:
            raise self._failure
        if not self._waiters and self._take():
            return None
        hold = self.hold()
        if hold == 0 or self._time() + hold <= deadline:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((deadline, waiter))
            self._draw()
            if self._asleep and (hold > 0 or deadline < self._wakes_at):
                self._changed.set()
            try:
                async with asyncio.timeout_at(deadline):
                    return await waiter
            except (TimeoutError, asyncio.CancelledError) as error:
                if waiter.done() and not waiter.cancelled():
                    self._give_back()
                if isinstance(error, asyncio.CancelledError):
                    raise
        known = self.hold() > 0
        reason = "the quota is used up, as earlier answers said" if known else "too many calls wait for their turn"
        raise RateLimited(reason, attempts=0, reset_at=self.reset_at())

    def hold(self) -> float:
        """Return the seconds until the next call may be made as far as the window is concerned."""
        return self.window.wait(self._time())

    def reset_at(self) -> dt.datetime | None:
        """When the window ends: the moment that the server named, `None` where it named none that lies ahead."""
        ends = self.window.ends
        return None if ends is None else dt.datetime.fromtimestamp(ends, dt.UTC)

    def quota(self, family: Family) -> Quota:
        """Return what is known."""
        wait = self.hold()  # forgets a window that has ended
        return Quota(
            family=family,
            limit_period=self.window.period if self.window.observed else None,
            remaining=self.window.remaining,
            reset_at=self.reset_at(),
            pace=self.window.pace(self._time()),
            wait=wait,
        )

    def observe(self, headers: Headers | RawHeaders, *, throttled: bool) -> None:
        """Take in the quota headers of a reply, and whether it said "too many requests"."""
        now = self._time()
        window = self.window
        self._heard = True
        remaining = self._reader.recount(headers)
        left = None if remaining is None else window.recount(remaining, now)
        if left is None:
            window.observe(self._reader.read(headers, clock.wall()), now)
            left = window.available()
        if not throttled:
            self._throttles = 0
        if self._asleep or left <= 0:
            self._recheck(now)

    def throttled(self, retry_after: float | None = None) -> float:
        """Note a "too many requests". Returns the seconds until calls may go again.

        Args:
            retry_after: what the answer asked for; it counts where no reset of the quota is known.
        """
        self._throttles += 1
        now = self._time()
        fallback = retry_after or max(0.1, backoff(self._retry, self._throttles + 2, self._random.random()))
        until = self.window.throttled(now, fallback)
        self._recheck(now)
        return until - now

    async def aclose(self) -> None:
        """Give back what was lent; the task that draws leases has ended."""
        if self._lender is not None:
            await self._lender.aclose()

    def _take(self) -> bool:
        if self._credits <= 0:
            return False
        self.spend()
        return True

    def unanswered(self) -> None:
        """Note that a call got no reply, so that no header will count it."""
        self.window.forget()
        self._changed.set()

    def _give_back(self) -> None:
        """A call that had its leave is not made: pass the leave on."""
        self.window.forget(sent=False)
        self._credits += 1
        self._hand_out()

    def _recheck(self, now: float) -> None:
        """Leave in hand is void when the window has no room for it any more."""
        if self._credits and self.window.wait(now) > 0:
            self._credits = 0
        self._changed.set()

    def _draw(self) -> None:
        self._demand.set()
        if self._drawing is None:
            self._time = asyncio.get_running_loop().time
            self._drawing = self._tasks.start(self._run(), "pacer")
            self._drawing.add_done_callback(self._ended)

    def _ended(self, drawing: asyncio.Task[None]) -> None:
        """Nobody may wait for leave that nobody gives any more."""
        if drawing.cancelled():
            self._failure = ClientClosed("the client was closed while this call was under way")
        else:
            self._failure = DfineryError("the pacing of calls has ended by a defect")
            self._failure.__cause__ = drawing.exception()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._failure)
        for wake in tuple(self.on_credit):
            wake()

    async def _run(self) -> None:
        """Give leases as long as somebody waits for one."""
        bucket = AsyncLimiter(_BUCKET, _BUCKET)
        while True:
            if not (self._wanted or self._waiters):
                self._demand.clear()
                await self._demand.wait()
            elif (wait := self.hold()) > 0:
                await self._sleep(wait + self._late(wait))
            elif (wait := self._turn_at - self._time()) > 0:
                await asyncio.sleep(wait)
            elif self._heard and self._lender is not None and (wait := await self._lender.renew()) > 0:
                await self._sleep(wait)
            else:
                calls = self._credits = self._lease()
                if self.window.most is not None:
                    self._turn_at = max(self._turn_at, self._time() - _LATE) + calls / self.window.most
                self._hand_out()
                if self._credits:
                    self._wanted = False  # not before: direct calls may have taken all of it
                    for wake in tuple(self.on_credit):
                        wake()
                if self._heard:
                    await self._pay(bucket, calls)
                else:
                    await self._sleep(_PROBE)
                    self._probes = min(self._probes + 1, _MOST_PROBES)
                    self._wanted = True

    def _late(self, wait: float) -> float:
        """Seconds after the end of a wait: all who wait for one reset must not come back as one.

        Who waits no longer than until shortly after that end still has half of that time for its call.
        """
        end = self._time() + wait
        left = min((deadline - end for deadline, _ in self._waiters if deadline >= end), default=math.inf)
        return self._random.random() * min(self.window.jitter(), left / 2)

    def _lease(self) -> int:
        """How many calls may go at once: about ten milliseconds of them, or as many as wait where nothing is spread.

        Until the first answer it is one call, then twice as many each time: who comes where little is left must not
        find out by sixty-four refusals, and who calls a slow server must not wait for it.
        """
        if not self._heard:
            return int(2**self._probes)
        pace = self._pace()
        calls = max(1.0, min(len(self._waiters), self.window.available()) if pace is None else pace * _LEASE)
        if self._leased is None:
            return int(calls)
        calls = min(int(calls), self._leased.in_hand)
        self._leased.in_hand -= calls
        return calls

    def _pace(self) -> float | None:
        return self.window.pace(self._time()) if self._leased is None else self._leased.pace()

    @property
    def _leased(self) -> Lender | None:
        """Who lends at present."""
        return self._lender if self._lender is not None and self._lender.active else None

    async def _pay(self, bucket: AsyncLimiter, calls: float) -> None:
        """Let the time pass that a lease is worth; a long one in pieces, each at the pace of its moment."""
        longest = max(_BUCKET, self.window.span() * _PIECE)
        while (pace := self._pace()) is not None and calls > 0 and self.hold() <= 0:
            price = calls / pace
            if price <= _BUCKET:
                await bucket.acquire(price)
                return
            piece = min(price, longest)
            await asyncio.sleep(piece)
            calls -= piece * pace

    def _hand_out(self) -> None:
        while self._credits and self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                self._take()
                waiter.set_result(None)

    async def _sleep(self, seconds: float) -> None:
        """Sleep until the window may have room; a reply that changes what is known wakes earlier."""
        self._changed.clear()
        self._asleep = True
        self._wakes_at = self._time() + seconds
        timer = asyncio.get_running_loop().call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            self._asleep = False
            timer.cancel()
