"""Direct calls: one call, one answer, with retries up to a bound."""

from __future__ import annotations

import asyncio
from random import Random

from dfinery_async.config import RetryConfig
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.core.retry import backoff
from dfinery_async.errors import ApiError, ConnectionFailed, UnexpectedResponse
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Caller"]


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

    async def call(self, endpoint: Endpoint, body: bytes) -> None:
        """Make one import call; returns when the API confirmed it.

        Raises:
            DfineryError: the last error, when it may not be retried or the time for it is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._retry.total
        attempts = failures = unexpected = 0
        while True:
            await self._gateway.pacers[endpoint.family].take(deadline)
            outcome = await self._tasks.run(self._gateway.send(endpoint, body), "call")
            attempts += 1
            error = outcome.error
            if error is None:
                return
            if isinstance(error, ApiError | ConnectionFailed | UnexpectedResponse):
                error.attempts = attempts
            failures = 0 if outcome.verdict is Verdict.THROTTLED else failures + 1
            unexpected += isinstance(error, UnexpectedResponse)
            delay = None if unexpected >= self._retry.unexpected_attempts else self._delay(endpoint, outcome, failures)
            if outcome.stale and attempts == 1:
                delay = 0.0
            if delay is None or loop.time() + delay > deadline:
                raise error
            await asyncio.sleep(delay)

    def _delay(self, endpoint: Endpoint, outcome: Outcome, failures: int) -> float | None:
        """Seconds until the next attempt, or `None` where there should be none."""
        if outcome.verdict is Verdict.THROTTLED:
            return self._gateway.pacers[endpoint.family].hold()
        if outcome.verdict is not Verdict.RETRY:
            return None
        return max(backoff(self._retry, failures, self._random.random()), outcome.retry_after or 0.0)
