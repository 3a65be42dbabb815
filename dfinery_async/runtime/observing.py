"""What an observer of a client sees: each request, and the figures when it asks. Without one none of this runs."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol, TypeVar

import msgspec

from dfinery_async.addresses import Origin
from dfinery_async.config import Family
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import Outcome
from dfinery_async.core.reply import Headers
from dfinery_async.models import Quota, Stats
from dfinery_async.runtime import clock
from dfinery_async.runtime.gateway import Done, Gateway
from dfinery_async.runtime.logs import Seldom
from dfinery_async.runtime.transport import StreamedReply

__all__ = ["OBSERVING", "Attempt", "Observed", "Observer", "WatchedGateway"]

T = TypeVar("T")

_log = logging.getLogger("dfinery_async.observer")


class Attempt(msgspec.Struct, kw_only=True):
    """One request, retries being requests of their own.

    Attributes:
        origin: where it goes.
        path: of the call, without the query.
        api: whose quota it uses: `"events"`, `"identities"`, `"profiles"` or `"exports"`.
        size: bytes of its body.
        began_ns: when it began, in nanoseconds since 1970.
        seconds: until it was answered, or until the last byte of an export came.
        status: HTTP status of the answer; `None` where none came, or none that says it.
        error: what went wrong; `None` when the API confirmed it. An export's error is not seen here.
        note: whatever the observer wants to keep until the end.
    """

    origin: Origin
    path: str
    api: Family
    size: int
    began_ns: int
    seconds: float = 0.0
    status: int | None = None
    error: BaseException | None = None
    note: Any = None


class Observed(Protocol):
    """A client, as an observer may ask it. Ask in its loop's own thread."""

    def stats(self) -> Stats:
        """Return the books of all producers together."""
        ...

    def quota(self, api: Family) -> Quota:
        """Return what is known of a quota."""
        ...


class Observer(Protocol):
    """Sees what a client does. Its methods are called in the client's event loop, and must not wait."""

    def opened(self, client: Observed, service_id: str, loop: asyncio.AbstractEventLoop) -> None:
        """A client is used for the first time."""
        ...

    def closed(self, client: Observed) -> None:
        """A client has ended, its producers with it."""
        ...

    def began(self, attempt: Attempt) -> None:
        """A request begins."""
        ...

    def ended(self, attempt: Attempt) -> None:
        """A request has ended, however it did."""
        ...


OBSERVING: Final = ("opened", "closed", "began", "ended")
"""What an observer can do."""


class WatchedGateway(Gateway):
    """A gateway that lets an observer see each attempt. An observer that fails harms nothing but itself."""

    def __init__(self, *arguments: Any, observer: Observer, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._observer = observer
        self._warnings = Seldom(_log)
        self._context = contextvars.copy_context()

    async def send(
        self, endpoint: Endpoint, body: bytes, heard: list[Headers] | None = None, *, within: float = math.inf
    ) -> Outcome:
        """Make one attempt of an import call, seen by the observer."""
        with self._seen(endpoint, body) as attempt:
            outcome = await super().send(endpoint, body, heard, within=within)
            _note(attempt, outcome)
            return outcome

    def send_soon(self, endpoint: Endpoint, body: bytes, now: float, about: T, done: Done[T]) -> bool:
        """Make one attempt without a task, seen by the observer."""
        attempt = self._attempt(endpoint, body)
        began = time.perf_counter()

        def ended(about: T, outcome: Outcome | Exception) -> None:
            attempt.seconds = time.perf_counter() - began
            _note(attempt, outcome)
            self._tell(self._observer.ended, attempt)
            done(about, outcome)

        begun = super().send_soon(endpoint, body, now, about, ended)
        if begun:
            # What runs here belongs to no caller, and must not look as if it did.
            self._context.copy().run(self._tell, self._observer.began, attempt)
        return begun

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, body: bytes) -> AsyncGenerator[StreamedReply]:
        """Make one attempt of an export call, seen by the observer."""
        with self._seen(endpoint, body) as attempt:
            async with super().open(endpoint, body) as reply:
                attempt.status = reply.status
                yield reply

    def _attempt(self, endpoint: Endpoint, body: bytes) -> Attempt:
        now = time.time_ns()
        return Attempt(origin=self.origin, path=endpoint.path, api=endpoint.family, size=len(body), began_ns=now)

    @contextmanager
    def _seen(self, endpoint: Endpoint, body: bytes) -> Generator[Attempt]:
        attempt = self._attempt(endpoint, body)
        began = time.perf_counter()
        self._tell(self._observer.began, attempt)
        try:
            yield attempt
        except BaseException as error:
            attempt.error = error
            raise
        finally:
            attempt.seconds = time.perf_counter() - began
            self._tell(self._observer.ended, attempt)

    def _tell(self, method: Callable[[Attempt], None], attempt: Attempt) -> None:
        try:
            method(attempt)
        except Exception as error:  # noqa: BLE001 - whoever looks on must not keep events from being delivered
            name = type(error).__name__
            self._warnings.warning(name, clock.now(), f"the observer failed: {name}", {"error": name})


def _note(attempt: Attempt, outcome: Outcome | Exception) -> None:
    attempt.error = outcome.error if isinstance(outcome, Outcome) else outcome
    attempt.status = 200 if attempt.error is None else getattr(attempt.error, "status", None)
