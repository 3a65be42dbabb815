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
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.core.retry import backoff
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import ConnectionFailed, DfineryError
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Dispatcher", "Settler"]

_FAMILIES: tuple[Family, ...] = ("identities", "profiles", "events")
_FIRST_PROBE, _SLOWEST_PROBE = 1.0, 60.0
_UNREACHABLE_AFTER = 3
_PAUSES = {Verdict.UNAUTHORIZED: "unauthorized", Verdict.MISCONFIGURED: "misconfigured"}


class Settler(Protocol):
    """Who hears what became of works: the producer."""

    def delivered(self, batch: Batch) -> None:
        """The API confirmed all works of a request."""

    def rejected(self, batch: Batch, error: DfineryError) -> None:
        """The API refused the one work of a request for good."""

    def dropped(self, works: Iterable[Work], error: DfineryError) -> None:
        """Works were given up."""

    def crashed(self, error: Exception) -> None:
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
        self._max_in_flight = max_in_flight
        self._retry = retry
        self._tasks = tasks
        self._random = random
        self._idle: list[asyncio.Future[Batch | None]] = []
        self._workers = 0
        self._in_air: set[Batch] = set()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._paused: Verdict | None = None
        self._probe_at = -math.inf
        self._probe_delay = _FIRST_PROBE
        self._unanswered = 0
        self._waiting_since: float | None = None
        self.trouble: DfineryError | None = None
        self.stopped: bool = False
        for family in _FAMILIES:
            gateway.pacers[family].on_credit.append(self.wake)

    @property
    def in_flight(self) -> int:
        """Requests in the air."""
        return len(self._in_air)

    def state(self) -> str:
        """What hinders delivery, in one word; `"running"` when nothing does."""
        if self._paused is not None:
            return _PAUSES[self._paused]
        if self._unanswered >= _UNREACHABLE_AFTER:
            return "unreachable"
        now = _now()
        if any(self._lanes.has_ready(family, now) and self._gateway.pacers[family].hold() > 0 for family in _FAMILIES):
            return "throttled"
        return "running"

    def silent_for(self) -> float:
        """Seconds for which requests have gone without any answer."""
        return 0.0 if self._waiting_since is None or self.stopped else _now() - self._waiting_since

    def wake(self) -> None:
        """Look soon at what can be sent."""
        if not self._pumping and not self.stopped:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def resume(self) -> None:
        """Probe at once, as a setting has changed."""
        self._probe_at = -math.inf
        self._probe_delay = _FIRST_PROBE
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
        now = _now()
        if gone := self._lanes.expired(now):
            trouble = "" if self.trouble is None else f"; last trouble: {self.trouble}"
            self._settler.dropped(gone, ConnectionFailed(f"not delivered within delivery_timeout{trouble}"))
        if self._paused is None:
            for family in _FAMILIES:
                self._hand_out(family, now)
        elif now >= self._probe_at and not self._in_air:
            self._probe(now)
        self._arm(now)

    def _hand_out(self, family: Family, now: float) -> None:
        pacer = self._gateway.pacers[family]
        while (self._idle or self._workers < self._max_in_flight) and self._lanes.has_ready(family, now):
            if not pacer.try_take():
                return  # the pacer wakes us
            batch = self._lanes.take(family, now)
            if batch is not None:
                self._launch(batch)

    def _probe(self, now: float) -> None:
        """While nothing gets through, try one request now and then."""
        self._probe_delay = min(_SLOWEST_PROBE, self._probe_delay * 2)
        self._probe_at = now + self._probe_delay
        for family in _FAMILIES:
            if self._lanes.has_ready(family, now) and self._gateway.pacers[family].try_take():
                batch = self._lanes.take(family, now)
                if batch is not None:
                    return self._launch(batch)
        return None

    def _launch(self, batch: Batch) -> None:
        if self._waiting_since is None:
            self._waiting_since = _now()
        self._in_air.add(batch)
        if self._idle:
            self._idle.pop().set_result(batch)
        else:
            self._workers += 1
            self._tasks.start(self._work(batch), "sender")

    async def _work(self, first: Batch) -> None:
        """Send one request after another, until the dispatcher stops."""
        batch: Batch | None = first
        while batch is not None:
            try:
                outcome = await self._gateway.send(batch.endpoint, batch.body())
            except DfineryError as error:  # a token that is missing or malformed, or its function failed
                outcome = Outcome(Verdict.UNAUTHORIZED, error)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
                self._settler.crashed(error)
                return
            self._in_air.discard(batch)
            if self.stopped:
                return
            self._settle(batch, outcome)
            waiter: asyncio.Future[Batch | None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            self._pump()
            batch = await waiter

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        """Do to the lanes and the books what an answer means."""
        now = _now()
        self._books.requests += 1
        self._books.retries += batch.attempts > 0
        batch.attempts += 1
        self._watch(outcome, now)
        match outcome.verdict:
            case Verdict.DELIVERED:
                self._lanes.settle(batch, now)
                self._settler.delivered(batch)
            case Verdict.RETRY:
                batch.failures += 1
                self._lanes.put_back(batch, now, now + backoff(self._retry, batch.failures, self._random.random()))
            case Verdict.THROTTLED:
                self._books.throttled += 1
                self._lanes.put_back(batch, now)  # the pacer holds its family until the reset
            case Verdict.UNAUTHORIZED | Verdict.MISCONFIGURED:
                self._lanes.put_back(batch, now)
            case Verdict.REFUSED | Verdict.TOO_LARGE:
                self._refused(batch, outcome, now)

    def _refused(self, batch: Batch, outcome: Outcome, now: float) -> None:
        if outcome.verdict is Verdict.TOO_LARGE:
            self._lanes.caps.shrink(batch)
        if len(batch.works) > 1:
            self._lanes.divide(batch, now)
        else:
            self._lanes.settle(batch, now)
            self._settler.rejected(batch, outcome.error or DfineryError("refused"))

    def _watch(self, outcome: Outcome, now: float) -> None:
        """Note what answers say of the way to the API as a whole."""
        self.trouble = outcome.error
        if isinstance(outcome.error, ConnectionFailed):
            self._unanswered += 1
        else:
            self._unanswered = 0
            self._waiting_since = now if self._in_air else None
        if outcome.verdict in _PAUSES:
            if self._paused is None:
                self._probe_delay = _FIRST_PROBE
                self._probe_at = now + _FIRST_PROBE
            self._paused = outcome.verdict
        elif self._unanswered == 0:
            self._paused = None

    def _arm(self, now: float) -> None:
        """Set the timer for the next moment at which something that waits is due."""
        when = self._lanes.next_wake()
        if self._paused is not None:
            when = min(when, self._probe_at)
        if self._timer is not None:
            if self._timer.when() == when and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if when < math.inf:
            self._timer = asyncio.get_running_loop().call_at(max(when, now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()


def _now() -> float:
    return asyncio.get_running_loop().time()
