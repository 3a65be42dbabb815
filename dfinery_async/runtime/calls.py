"""Direct calls: one call, one answer, with retries up to a bound."""

from __future__ import annotations

import asyncio
import math
from random import Random

from dfinery_async.config import RetryConfig
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.core.retry import backoff
from dfinery_async.errors import ApiError, ConnectionFailed, DfineryError, RateLimited, UnexpectedResponse
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Caller", "Time"]

_LEAST = 1.0  # seconds that a request has, however much those before it took of the whole, and that a retry is worth


class Time:
    """What is left of the time that one call of the user's may take, over all its requests.

    A request that goes well at once takes nothing of it: any number of events may be sent.

    Args:
        total: seconds in all.

    Attributes:
        least: seconds that an attempt needs to be worth while.
    """

    def __init__(self, total: float) -> None:
        self.least: float = min(_LEAST, total / 4)
        self._left = total

    def left(self) -> float:
        """Return the seconds that the next request may take."""
        return max(self._left, self.least)

    def spend(self, seconds: float) -> None:
        """Note how long a request took that did not go well at once."""
        self._left -= seconds


class Caller:
    """Makes direct calls.

    Each attempt runs in a task that the client owns, so that cancelling the caller never cuts a request on the wire:
    the attempt under way is finished, and no other follows.
    """

    def __init__(self, gateway: Gateway, *, retry: RetryConfig, tasks: TaskOwner, random: Random) -> None:
        self._gateway = gateway
        self._retry = retry
        self._tasks = tasks
        self._random = random

    def time(self) -> Time:
        """Return the time of one call that makes several requests."""
        return Time(self._retry.total)

    async def call(self, endpoint: Endpoint, body: bytes, time: Time | None = None) -> None:
        """Make one request of an import call, again where it may be; returns when the API confirmed it.

        Args:
            endpoint: the call.
            body: what it carries.
            time: what is left for it, where it is one of several requests.

        Raises:
            DfineryError: the last error, when it may not be retried or the time for it is over.
        """
        loop = asyncio.get_running_loop()
        time = time or self.time()
        began = loop.time()
        deadline = began + time.left()
        # Without any time for retries there is one attempt, and its own time-outs alone bound it.
        until = deadline if self._retry.total else math.inf
        attempts = failures = unexpected = 0
        error: DfineryError | None = None
        while True:
            await self._leave(endpoint, min(until, began + self._gateway.patience), error)
            within = until - loop.time()
            outcome = await self._tasks.run(self._gateway.send(endpoint, body, within=within), "call")
            attempts += 1
            before, error = error, outcome.error
            if before is not None and within < time.least and isinstance(error, ConnectionFailed):
                error = before  # an attempt that had hardly any time says nothing
            if error is None:
                if attempts > 1:
                    time.spend(loop.time() - began)
                return
            if isinstance(error, ApiError | ConnectionFailed | UnexpectedResponse):
                error.attempts = attempts
            failures = 0 if outcome.verdict is Verdict.THROTTLED else failures + 1
            unexpected += isinstance(error, UnexpectedResponse)
            delay = None if unexpected >= self._retry.unexpected_attempts else self._delay(endpoint, outcome, failures)
            if outcome.stale and attempts == 1:
                delay = 0.0
            if delay is None or loop.time() + delay >= deadline:
                raise error
            if outcome.verdict is Verdict.THROTTLED:
                continue  # the quota is waited for where leave is taken
            if loop.time() + delay > deadline - time.least:
                raise error
            await self._tasks.pause(delay)

    async def _leave(self, endpoint: Endpoint, until: float, error: DfineryError | None) -> None:
        """Wait for leave. Where there is none in time, what the API said last says more than that."""
        try:
            await self._gateway.pacers[endpoint.family].take(until)
        except RateLimited:
            if error is None:
                raise
            raise error from None

    def _delay(self, endpoint: Endpoint, outcome: Outcome, failures: int) -> float | None:
        """Seconds until the next attempt, or `None` where there should be none."""
        if outcome.verdict is Verdict.THROTTLED:
            return self._gateway.pacers[endpoint.family].hold()
        if outcome.verdict is not Verdict.RETRY:
            return None
        return max(backoff(self._retry, failures, self._random.random()), outcome.retry_after or 0.0)
