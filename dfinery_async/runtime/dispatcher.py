"""Between lanes and wire: who is sent now, and what an answer does to the work it carried.

`_pump` is the one place that hands out work. It is synchronous and runs soon after anything changed: work came in, an
answer came back, the quota gave leave, a time was reached. So what a caller hands over in one turn of the loop is
packed before any of it is sent. Requests run in worker tasks, which the client owns.

While callers hand over as fast as the loop can turn, requests that could get fuller are left to do so: sending them
half empty would cost the time in which they get full. It ends with the first turn in which less comes in, or nothing,
or there is no more room; and no request is left waiting for more than two seconds by it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Protocol

from dfinery_async.config import Family, RetryConfig
from dfinery_async.core.books import Books
from dfinery_async.core.flight import FlightLimit
from dfinery_async.core.health import Health
from dfinery_async.core.lanes import FAMILIES, Lanes
from dfinery_async.core.outcome import DELIVERED, Outcome, Verdict
from dfinery_async.core.retry import RetryBudget, backoff
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import ConnectionFailed, DfineryError
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["YIELD_EVERY", "Dispatcher", "Settler"]

YIELD_EVERY = 64
"""Units that one caller may hand over before others get a turn of the loop."""

_NEVER = math.inf
_PATIENCE = 2.0  # seconds that a request may wait to get fuller, while callers are faster than the loop turns


class Settler(Protocol):
    """Who hears what became of works: the producer."""

    def delivered(self, batch: Batch) -> None:
        """The API confirmed all works of a request."""

    def rejected(self, batch: Batch, error: DfineryError) -> None:
        """The API refused the one work of a request for good."""

    def dropped(self, works: Sequence[Work], error: DfineryError) -> None:
        """Works were given up."""

    def away(self) -> None:
        """Nothing gets through at the moment."""

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
        self._in_air: set[Batch] = set()
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self.pumping: bool = False  # whether it will look soon anyway
        self._turn_began = 0.0
        self._patience = 0.0
        self._accepted = 0  # units that there were at the last look
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = -_NEVER
        self._budget = RetryBudget()
        self._flight = FlightLimit(max_in_flight)
        self.health: Health = Health(retry)
        self.stopped: bool = False
        for family in FAMILIES:
            gateway.pacers[family].on_credit.append(self.wake)

    @property
    def in_flight(self) -> int:
        """Requests in the air."""
        return len(self._in_air)

    def state(self) -> str:
        """What hinders delivery, in one word; `"running"` when nothing does."""
        state = self.health.state()
        if state == "running" and any(
            self._gateway.pacers[family].hold() > 0 for family, _ in self._lanes.ready(self._time())
        ):
            return "throttled"
        return state

    def silent_for(self) -> float:
        """Seconds for which requests have gone without any answer."""
        return 0.0 if self.stopped else self.health.silent_for(self._time())

    def wake(self) -> None:
        """Look soon at what can be sent."""
        if not self.pumping and not self.stopped:
            self.pumping = True
            self._turn_began = self._time()
            self._loop.call_soon(self._look)

    def turn_began(self) -> float:
        """When this turn of the loop began, as far as we care: a caller that hands over many asks for the time once."""
        return self._turn_began if self.pumping else self._time()

    def release(self) -> None:
        """Look soon, and leave nothing waiting to get fuller."""
        self._patience = 0.0
        self._accepted = self._books.accepted
        self.wake()

    def resume(self) -> None:
        """Try at once, as a setting has changed."""
        self.health.resume(self._time())
        self.wake()

    def works(self) -> Iterator[tuple[bytes, Work]]:
        """Give all works that are not settled, with their users' keys: each user's in order, those in the air first."""
        for batch in self._in_air:
            for work in batch.works:
                yield batch.key, work
        yield from self._lanes.each()

    def stop(self) -> list[tuple[bytes, Work]]:
        """Send nothing more. Returns the works that are left, as `works` does.

        Requests in the air go on to their end in their tasks, but their answers count for nothing any more: cutting
        them would cost the pool their connections.
        """
        self.stopped = True
        for family in FAMILIES:
            self._gateway.pacers[family].on_credit.remove(self.wake)
        if self._timer is not None:
            self._timer.cancel()
        left = list(self.works())
        self._lanes.take_all()
        return left

    def _look(self) -> None:
        """Pump in a turn of its own: what came in since the last one was all of a turn."""
        self.pumping = False
        accepted = self._books.accepted
        self._patience = _PATIENCE if accepted - self._accepted >= YIELD_EVERY else 0.0
        self._accepted = accepted
        self._pump()
        if self._patience:
            self.wake()  # as nobody else may, when nothing comes any more

    def _pump(self) -> None:
        """Hand out what may be sent now, and see that somebody looks again when that changes."""
        if self.stopped:
            return
        try:
            self._send(self._time())
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._settler.crashed(error)

    def _send(self, now: float) -> None:
        if gone := self._lanes.expired(now):
            self._drop(gone)
        health = self.health
        if health.probe_at == _NEVER:
            for family, retry in self._lanes.ready(now):
                self._hand_out(family, now, retry=retry)
        else:
            if health.refused is not None and (reason := health.hopeless(now)):
                self._settler.hopeless(reason)
            if now >= health.probe_at:
                self._probe(now)
        self._arm(now)

    def _drop(self, gone: Sequence[Work]) -> None:
        trouble = "" if self.health.trouble is None else f"; last trouble: {self.health.trouble}"
        self._settler.dropped(gone, ConnectionFailed(f"not delivered within delivery_timeout{trouble}"))

    def _hand_out(self, family: Family, now: float, *, retry: bool) -> None:
        pacer, lanes, patience = self._gateway.pacers[family], self._lanes, self._patience
        while len(self._in_air) < self._flight.size and not (retry and self._budget.wait(now) > 0):
            if not pacer.has_leave:
                if lanes.has_ready(family, now, retry=retry, patience=patience):
                    pacer.try_take()  # so that it wakes us
                return
            batch = lanes.take(family, now, retry=retry, patience=patience)
            if batch is None:
                return
            pacer.spend()
            self._launch(batch, now, retry=retry)

    def _probe(self, now: float) -> None:
        """While nothing gets through, try one request now and then."""
        for family, retry in self._lanes.ready(now):
            if self._gateway.pacers[family].try_take() and (batch := self._lanes.take(family, now, retry=retry)):
                self.health.probing(now)
                self._launch(batch, now, retry=retry)
                return

    def _launch(self, batch: Batch, now: float, *, retry: bool) -> None:
        if retry:
            self._budget.spend(now)
        self._books.requests += 1
        if batch.attempts:
            self._books.retries += 1
        batch.launched_at = now
        self.health.launched(now)
        self._in_air.add(batch)
        body = batch.body()
        try:
            begun = self._gateway.send_soon(batch.endpoint, body, now, batch, self._ended)
        except DfineryError:
            begun = False  # the token is missing, malformed, or its function failed: the long way tells
        if not begun:
            self._tasks.start(self._carry(batch, body), "sender")

    async def _carry(self, batch: Batch, body: bytes) -> None:
        """Send one request the long way: where a connection has to be made first, or another transport is used."""
        try:
            try:
                outcome = await self._gateway.send(batch.endpoint, body)
            except DfineryError as error:  # a token that is missing or malformed, or its function failed
                outcome = Outcome(Verdict.UNAUTHORIZED, error)
            self._ended(batch, outcome)
        except BaseException as error:  # whatever it is, nobody may be left waiting
            if not self.stopped:
                self._settler.crashed(error)
            if not isinstance(error, Exception):
                raise  # somebody cancelled our task, or the interpreter ends

    def _ended(self, batch: Batch, outcome: Outcome | Exception) -> None:
        """Take in how a request ended, and send what may go now."""
        self._in_air.discard(batch)
        if self.stopped:
            return
        if isinstance(outcome, Exception):
            self._settler.crashed(outcome)
            return
        try:
            now = self._time()
            self._settle(batch, outcome, now)
            self._send(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._settler.crashed(error)

    def _settle(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """Do to the lanes and the books what an answer means."""
        batch.attempts += 1
        if outcome is DELIVERED:
            self._delivered(batch, now)
            return
        self.health.observe(outcome, now, others_in_air=bool(self._in_air), chance=self._random.random())
        match outcome.verdict:
            case Verdict.RETRY:
                self._lanes.put_back(batch, now, self._retry_at(batch, outcome, now))
            case Verdict.THROTTLED:
                self._books.throttled += 1
                self._lanes.put_back(batch, now)  # the pacer holds its family until the reset
            case Verdict.UNAUTHORIZED | Verdict.MISCONFIGURED:
                self._lanes.put_back(batch, now)
            case Verdict.REFUSED | Verdict.TOO_LARGE:
                self._refused(batch, outcome, now)
            case Verdict.DELIVERED:
                self._delivered(batch, now)
        if not self.health.open:
            self._settler.away()

    def _delivered(self, batch: Batch, now: float) -> None:
        """Enter a success. While all goes well there is nothing to learn from one more, and nobody is asked to."""
        in_air, lanes = len(self._in_air), self._lanes
        self.health.answered(now, others_in_air=in_air > 0)
        if not self._flight.whole:
            self._flight.succeeded(in_air + 1)
        if not self._budget.whole:
            self._budget.succeeded(retried=batch.failures > 0)
        if lanes.caps.narrowed:
            lanes.caps.delivered(batch)
        lanes.settle(batch, now)
        self._settler.delivered(batch)

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
        """See that the timer rings no later than the next moment at which something that waits is due."""
        next_alarm = self._lanes.sleeps_until
        covered = next_alarm == _NEVER or now < self._rings_at <= next_alarm
        if covered and self.health.probe_at == _NEVER and (self._budget.whole or not self._budget.wait(now)):
            return
        when = self._lanes.next_wake()
        if not self.health.open:
            when = _sooner(self.health.probe_at, when, now)
        elif wait := self._budget.wait(now):
            when = _sooner(now + wait, when, now)
        if when <= now or when == _NEVER:
            return
        if self._timer is not None:
            if now < self._rings_at <= when:
                return  # it looks again anyway, so that few timers are made
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._rings_at = -_NEVER
        self._pump()


def _sooner(moment: float, when: float, now: float) -> float:
    """Return the sooner of two moments, of those that are still to come."""
    return moment if moment > now and (moment < when or when <= now) else when
