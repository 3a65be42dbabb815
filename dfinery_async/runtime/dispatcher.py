"""Between lanes and wire: who is sent now, and what an answer does to the work it carried.

`_pump` is the one place that hands out work. It is synchronous and runs soon after anything changed: work came in, an
answer came back, the quota gave leave, a time was reached. So what a caller hands over in one turn of the loop is
packed before any of it is sent. Requests run in worker tasks, which the client owns.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from random import Random
from typing import Protocol

from dfinery_async.config import Family, RetryConfig
from dfinery_async.core.books import Books
from dfinery_async.core.flight import FlightLimit
from dfinery_async.core.health import Health
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.core.retry import RetryBudget, backoff
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import ConnectionFailed, DfineryError
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Dispatcher", "Settler"]

_FAMILIES: tuple[Family, ...] = ("identities", "profiles", "events")


class Settler(Protocol):
    """Who hears what became of works: the producer."""

    def delivered(self, batch: Batch) -> None:
        """The API confirmed all works of a request."""

    def rejected(self, batch: Batch, error: DfineryError) -> None:
        """The API refused the one work of a request for good."""

    def dropped(self, works: Iterable[Work], error: DfineryError) -> None:
        """Works were given up."""

    def hopeless(self, error: DfineryError) -> None:
        """Nothing but refusals for a long time: whoever waits for room should hear why."""

    def crashed(self, error: BaseException) -> None:
        """Something happened that has no meaning: nothing more will be sent."""


class Dispatcher:
    """Sends what waits in the lanes, one request a user at a time."""

    def __init__(
        self,
        gateway: Gateway,
        lanes: Lanes,
        books: Books,
        settler: Settler,
        *,
        max_in_flight: int,
        retry: RetryConfig,
        tasks: TaskOwner,
        random: Random,
    ) -> None:
        self._gateway = gateway
        self._lanes = lanes
        self._books = books
        self._settler = settler
        self._retry = retry
        self._tasks = tasks
        self._random = random
        self._idle: list[asyncio.Future[Batch | None]] = []
        self._in_air: set[Batch] = set()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._budget = RetryBudget()
        self._flight = FlightLimit(max_in_flight)
        self.health: Health = Health(retry)
        self.stopped: bool = False
        for family in _FAMILIES:
            gateway.pacers[family].on_credit.append(self.wake)

    @property
    def in_flight(self) -> int:
        """Requests in the air."""
        return len(self._in_air)

    def state(self) -> str:
        """What hinders delivery, in one word; `"running"` when nothing does."""
        state = self.health.state()
        if state == "running" and any(
            self._gateway.pacers[family].hold() > 0 for family, _ in self._lanes.ready(_now())
        ):
            return "throttled"
        return state

    def silent_for(self) -> float:
        """Seconds for which requests have gone without any answer."""
        return 0.0 if self.stopped else self.health.silent_for(_now())

    def wake(self) -> None:
        """Look soon at what can be sent."""
        if not self._pumping and not self.stopped:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def resume(self) -> None:
        """Try at once, as a setting has changed."""
        self.health.resume(_now())
        self.wake()

    def stop(self) -> list[Work]:
        """Send nothing more. Returns the works that are left, those in the air included.

        Requests in the air go on to their end in their tasks, but their answers count for nothing any more: cutting
        them would cost the pool their connections.
        """
        self.stopped = True
        for family in _FAMILIES:
            self._gateway.pacers[family].on_credit.remove(self.wake)
        if self._timer is not None:
            self._timer.cancel()
        for waiter in self._idle:
            if not waiter.done():
                waiter.set_result(None)
        self._idle.clear()
        in_air = [work for batch in self._in_air for work in batch.works]
        return in_air + [work for _, work in self._lanes.take_all()]

    def _pump(self) -> None:
        """Hand out what may be sent now, and see that somebody looks again when that changes."""
        self._pumping = False
        if self.stopped:
            return
        try:
            now = _now()
            self._give_up(now)
            if self.health.open:
                for family, retry in self._lanes.ready(now):
                    self._hand_out(family, now, retry=retry)
            elif now >= self.health.probe_at:
                self._probe(now)
            self._arm(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._settler.crashed(error)

    def _give_up(self, now: float) -> None:
        if gone := self._lanes.expired(now):
            trouble = "" if self.health.trouble is None else f"; last trouble: {self.health.trouble}"
            self._settler.dropped(gone, ConnectionFailed(f"not delivered within delivery_timeout{trouble}"))
        if reason := self.health.hopeless(now):
            self._settler.hopeless(reason)

    def _hand_out(self, family: Family, now: float, *, retry: bool) -> None:
        while (
            len(self._in_air) < self._flight.size
            and self._lanes.has_ready(family, now, retry=retry)
            and not (retry and self._budget.wait(now) > 0)
            and self._gateway.pacers[family].try_take()  # where there is no leave, the pacer wakes us
        ):
            self._launch(family, now, retry=retry)

    def _probe(self, now: float) -> None:
        """While nothing gets through, try one request now and then."""
        for family, retry in self._lanes.ready(now):
            if self._gateway.pacers[family].try_take():
                self.health.probing(now)
                self._launch(family, now, retry=retry)
                return

    def _launch(self, family: Family, now: float, *, retry: bool) -> None:
        batch = self._lanes.take(family, now, retry=retry)
        if batch is None:
            return
        if retry:
            self._budget.spend(now)
        batch.launched_at = now
        self.health.launched(now)
        self._in_air.add(batch)
        if self._idle:
            self._idle.pop().set_result(batch)
        else:
            self._tasks.start(self._work(batch), "sender")

    async def _work(self, first: Batch) -> None:
        """Send one request after another, until the dispatcher stops."""
        batch: Batch | None = first
        try:
            while batch is not None:
                outcome = await self._attempt(batch)
                self._in_air.discard(batch)
                if self.stopped:
                    return
                self._settle(batch, outcome)
                waiter: asyncio.Future[Batch | None] = asyncio.get_running_loop().create_future()
                self._idle.append(waiter)
                self._pump()
                batch = await waiter
        except BaseException as error:  # whatever it is, nobody may be left waiting
            if not self.stopped:
                self._settler.crashed(error)
            if not isinstance(error, Exception):
                raise  # somebody cancelled our task, or the interpreter ends

    async def _attempt(self, batch: Batch) -> Outcome:
        try:
            return await self._gateway.send(batch.endpoint, batch.body())
        except DfineryError as error:  # a token that is missing or malformed, or its function failed
            return Outcome(Verdict.UNAUTHORIZED, error)

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Do to the lanes and the books what an answer means."""
        now = _now()
        self._books.requests += 1
        self._books.retries += batch.attempts > 0
        batch.attempts += 1
        self.health.observe(outcome, now, others_in_air=bool(self._in_air), chance=self._random.random())
        match outcome.verdict:
            case Verdict.DELIVERED:
                self._flight.succeeded(len(self._in_air) + 1)
                self._budget.succeeded(retried=batch.failures > 0)
                self._lanes.caps.delivered(batch)
                self._lanes.settle(batch, now)
                self._settler.delivered(batch)
            case Verdict.RETRY:
                self._lanes.put_back(batch, now, self._retry_at(batch, outcome, now))
            case Verdict.THROTTLED:
                self._books.throttled += 1
                self._lanes.put_back(batch, now)  # the pacer holds its family until the reset
            case Verdict.UNAUTHORIZED | Verdict.MISCONFIGURED:
                self._lanes.put_back(batch, now)
            case Verdict.REFUSED | Verdict.TOO_LARGE:
                self._refused(batch, outcome, now)

    def _retry_at(self, batch: Batch, outcome: Outcome, now: float) -> float:
        """Say when a request that met passing trouble may go again."""
        if outcome.stale and not batch.resent:
            batch.resent = True
            return now
        self._flight.lost(batch.launched_at, now)
        batch.failures += 1
        delay = backoff(self._retry, batch.failures, self._random.random())
        return now + max(delay, outcome.retry_after or 0.0)

    def _refused(self, batch: Batch, outcome: Outcome, now: float) -> None:
        if outcome.verdict is Verdict.TOO_LARGE:
            self._lanes.caps.shrink(batch)
        if len(batch.works) > 1:
            self._lanes.divide(batch, now)
        else:
            self._lanes.settle(batch, now)
            self._settler.rejected(batch, outcome.error or DfineryError("refused"))

    def _arm(self, now: float) -> None:
        """Set the timer for the next moment at which something that waits is due."""
        moments = [self._lanes.next_wake()]
        if not self.health.open:
            moments.append(self.health.probe_at)
        elif wait := self._budget.wait(now):
            moments.append(now + wait)
        when = min((moment for moment in moments if moment > now), default=math.inf)
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
            self._timer = None
        if when < math.inf:
            self._timer = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()


def _now() -> float:
    return asyncio.get_running_loop().time()
