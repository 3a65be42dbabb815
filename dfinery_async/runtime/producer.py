"""The producer: takes work over from callers, bounds it, and keeps the books."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

from dfinery_async.config import DeliveryConfig, RetryConfig
from dfinery_async.core.books import Fate
from dfinery_async.core.caps import Caps
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import ClientClosed, DeliveryError, DfineryError
from dfinery_async.models import Delivery, Event, Identity, Report, Stats
from dfinery_async.runtime.accounts import Accounts
from dfinery_async.runtime.dispatcher import YIELD_EVERY, Dispatcher
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.intake import event_receipt, identity_receipt, profile_receipt
from dfinery_async.runtime.loading import Progress, Reporter, Source, pull
from dfinery_async.runtime.logs import Seldom
from dfinery_async.runtime.place import Place
from dfinery_async.runtime.receipts import Receipt
from dfinery_async.runtime.rejects import OnRejected, Rejects, is_callback
from dfinery_async.runtime.room import Room
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Producer"]

_log = logging.getLogger("dfinery_async.producer")
_AT_ONCE = Delivery(status="delivered", attempts=1)


class Producer:
    """Sends many events, profiles and identities: batched, paced, retried, in order per user.

    Made by `DfineryClient.producer()`; used with `async with`. Work of one exact identity reaches the API in the order
    of the calls, one request at a time; neighbours of one kind travel in one request. Callers wait on room and on
    receipts only: cancelling them cuts nothing that is under way.
    """

    def __init__(
        self,
        gateway: Gateway,
        config: DeliveryConfig,
        *,
        retry: RetryConfig,
        tasks: TaskOwner,
        random: Random,
        on_rejected: OnRejected | None = None,
    ) -> None:
        self._accounts = Accounts()  # first, as `__del__` asks for them whatever happens below
        self._books = self._accounts.books
        self._config = config
        self._room = Room(config, self._books, self._enter)
        self._lanes = Lanes(Caps(bytes=config.max_batch_bytes), linger=config.linger, timeout=config.delivery_timeout)
        self._dispatcher = Dispatcher(
            gateway,
            self._lanes,
            self._books,
            self,
            max_in_flight=config.max_in_flight,
            retry=retry,
            tasks=tasks,
            random=random,
        )
        self._tasks = tasks
        self._rejects = None if on_rejected is None else Rejects(on_rejected, tasks)
        self._closing: asyncio.Task[None] | None = None
        self._sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # all but telling rejections
        self._failure: DfineryError | None = None
        self._place = Place()
        self._make_receipt: Callable[..., Receipt] = Receipt
        self._time = asyncio.get_running_loop().time
        self._since_yield = 0
        self._warnings = Seldom(_log)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.abandon()
        else:
            await self.aclose()

    def __del__(self) -> None:
        if self._accounts.closing is None and self._books.pending:
            warnings.warn(
                f"a dfinery producer was never closed: {self._books.pending} units were not delivered",
                ResourceWarning,
                stacklevel=2,
            )

    async def track(self, identity: Identity | str, event: Event | str) -> Receipt:
        """Hand over one event; waits for room and returns as soon as the event is accepted.

        Args:
            identity: whose event it is; a plain text is an `external_id`.
            event: the event; a plain text is an event of that name, now.

        Returns:
            A receipt. Awaiting it gives a `Delivery`, or raises `DeliveryError`; it need not be awaited.

        Raises:
            InvalidInputError: a value that the API has no room for; nothing was queued.
            QueueFull: there is no room, and the producer was made with `on_full="raise"`.
            DeliveryError: the API has refused the token, the service id or the address for a minute; `__cause__` says
                which. What was accepted before is kept, and `client.set_tokens` lets it go on.
            ClientClosed: the producer was closed, or belongs to another event loop or process.
        """
        key, receipt = event_receipt(identity, event, self._dispatcher.turn_began(), self._make_receipt)
        if (turn := self._offer(key, receipt)) is not None:
            await turn
        return receipt

    def track_nowait(self, identity: Identity | str, event: Event | str) -> Receipt:
        """Hand over one event if there is room for it now.

        Raises:
            InvalidInputError: a value that the API has no room for.
            QueueFull: there is no room.
            ClientClosed: the producer was closed.
        """
        key, receipt = event_receipt(identity, event, self._dispatcher.turn_began(), self._make_receipt)
        self._check_open()
        if self._room.has(receipt):
            self._enter(key, receipt)
        elif self._config.on_full == "drop_newest":
            self._drop_newest(receipt, self._room.full())
        else:
            raise self._room.full()
        return receipt

    async def track_many(self, source: Source, *, progress: Progress | None = None) -> int:
        """Hand over all events of a source, pulled only as fast as there is room; it is never made a list of.

        Args:
            source: pairs of identity and event, sync or async.
            progress: called with the books (`stats()`) a few times a second.

        Returns:
            How many were accepted. They are not delivered yet: `flush` waits for that. Raises as `track` does, and
            InvalidInputError for what is no such source.
        """
        with Reporter(self.stats, progress):
            return await pull(source, self.track)

    async def identify(self, identity: Identity | str) -> Receipt:
        """Create or update the unified profile of an identity, in its place among the user's other work.

        Neighbouring calls for the same identity that wait become one request. Raises as `track` does.
        """
        key, receipt = identity_receipt(identity, self._dispatcher.turn_began(), self._make_receipt)
        if (turn := self._offer(key, receipt)) is not None:
            await turn
        return receipt

    async def set_profile(self, identity: Identity | str, properties: Mapping[str, Any]) -> Receipt:
        """Set user properties, in their place among the user's other work.

        Neighbouring updates of a user that wait become one request, in which later values win. Raises as `track` does.
        """
        key, receipt = profile_receipt(identity, properties, self._dispatcher.turn_began(), self._make_receipt)
        if (turn := self._offer(key, receipt)) is not None:
            await turn
        return receipt

    async def flush(self, timeout: float | None = None) -> Report:
        """Wait until all that was accepted before this call is settled, retries included.

        Args:
            timeout: seconds to wait at the most; `None` is no bound.

        Returns:
            The books at that moment, whether or not everything was settled in time. Raises ClientClosed in another
            event loop or process.
        """
        self._place.check("producer")
        epoch = self._books.close_epoch()
        self._release()
        await self._accounts.even(epoch, timeout)
        return self._accounts.closing or Report(**self._figures())

    async def aclose(self, timeout: float | None = 30.0) -> Report:
        """Take nothing more, deliver what is left, and end.

        Args:
            timeout: seconds for the deliveries; what is left then is dropped, with failed receipts. `None` is no bound.

        Returns:
            The final books. Calling it again gives them again. A cancelled close ends at once, what is left dropped.
            Called by an `on_rejected`, for which a close waits, it returns as soon as only rejections are left to be
            told. Raises ClientClosed in another event loop or process.
        """
        if self._accounts.closing is None:
            self._place.check("producer")
            self._refuse_waiting()
            if self._closing is None:
                self._closing = self._tasks.start(self._close(timeout), "close")
                self._closing.add_done_callback(lambda _: self._all_sent())
        if self._closing is not None and not self._closing.done() and self._place.is_here():
            try:
                await asyncio.shield(self._sent if is_callback() else self._closing)
            except asyncio.CancelledError:
                self._finish()
                raise
        return self._accounts.closing or Report(**self._figures())

    def abandon(self) -> None:
        """End now, as a cancelled `aclose` does: what is left is dropped, with failed receipts."""
        self._finish()

    @property
    def trouble(self) -> DfineryError | None:
        """The error of the last attempt, `None` when it went well or there was none yet."""
        return self._dispatcher.health.trouble

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._accounts.closing is not None

    def resume(self) -> None:
        """Try again at once what waits for a good token or service id."""
        self._dispatcher.resume()

    def stats(self) -> Stats:
        """Return the books of this moment."""
        return Stats(**self._figures())

    # What the dispatcher tells us (`dispatcher.Settler`).

    def delivered(self, batch: Batch) -> None:
        """Enter a confirmed request."""
        attempts = batch.attempts
        delivery = _AT_ONCE if attempts == 1 else Delivery(status="delivered", attempts=attempts)
        self._settle(batch.works, "delivered", delivery)

    def rejected(self, batch: Batch, error: DfineryError) -> None:
        """Enter a work that the API refused."""
        if self._rejects is not None:
            self._rejects.put(batch, error)
        self._settle(batch.works, "rejected", error)

    def dropped(self, works: Sequence[Work], error: DfineryError) -> None:
        """Enter works that were given up."""
        self._settle(works, "dropped", error)

    def away(self) -> None:
        """Nothing gets through: say so, once a minute while it lasts."""
        state, trouble = self._dispatcher.state(), self.trouble
        message = f"delivery is hindered: {state}: {trouble}"
        kind = type(trouble).__name__
        self._warnings.warning("away", self._time(), message, {"state": state, "error": kind})

    def hopeless(self, error: DfineryError) -> None:
        """Let nobody wait for room that will not come."""
        self._room.refuse(lambda: _refusal(error))

    def crashed(self, error: BaseException) -> None:
        """The engine met what it has no answer for, such as a bug in a custom transport: nothing can go on.

        Whoever waits hears why, at once; nothing hangs.
        """
        if isinstance(error, asyncio.CancelledError):  # the loop ends, or somebody cancels every task there is
            self._finish()
            return
        _log.error("the producer stopped: %s", type(error).__name__)
        failure = DfineryError(f"the producer stopped: an unexpected {type(error).__name__}")
        failure.__cause__ = error
        self._finish(failure)

    def _settle(self, works: Sequence[Work], fate: Fate, outcome: Delivery | DfineryError) -> None:
        self._accounts.settle(works, fate, outcome)
        if self._room.crowded:
            self._room.grant()

    def _offer(self, key: bytes, receipt: Receipt) -> Awaitable[None] | None:
        """Take a work over. Returns what the caller has to wait for before it goes on, if anything."""
        if (
            self._closing is not None
            or self._dispatcher.health.refused is not None
            or self._accounts.closing is not None
            or not self._place.is_here()
        ):
            self._check_open()
        if self._room.has(receipt):
            self._enter(key, receipt)
            self._since_yield += 1
            if self._since_yield >= YIELD_EVERY:  # after it was entered, so that nobody who comes later overtakes
                self._since_yield = 0
                return asyncio.sleep(0)
        elif self._config.on_full == "drop_newest":
            self._drop_newest(receipt, self._room.full())
        elif self._config.on_full == "raise":
            raise self._room.full()
        else:
            self._release()  # what lingers would wait for events that have no room to come in
            return self._room.wait(key, receipt)
        return None

    def _enter(self, key: bytes, receipt: Receipt) -> None:
        self._books.accept(receipt)
        self._lanes.add(key, receipt, receipt.accepted_at)
        if not self._dispatcher.pumping:
            self._dispatcher.wake()

    def _drop_newest(self, receipt: Receipt, reason: DfineryError) -> None:
        self._books.accept(receipt)
        self._accounts.settle([receipt], "dropped", reason)
        dropped = self._books.fates["dropped"]
        message = f"the queue is full: new events are dropped, {dropped} so far"
        self._warnings.warning("full", self._time(), message, {"dropped": dropped})

    def _check_open(self) -> None:
        self._place.check("producer")
        if self._accounts.closing is not None or self._closing is not None:
            raise ClientClosed("the producer is closed") from self._failure
        self._check_way()

    def _check_way(self) -> None:
        health = self._dispatcher.health
        if health.refused is not None and (reason := health.hopeless(self._time())):
            raise _refusal(reason)

    def _release(self) -> None:
        self._lanes.release(self._time())
        self._dispatcher.release()

    def _refuse_waiting(self) -> None:
        def refusal() -> ClientClosed:
            error = ClientClosed("the producer was closed before there was room for this")
            error.__cause__ = self._failure
            return error

        self._room.refuse(refusal)

    async def _close(self, timeout: float | None) -> None:
        deadline = None if timeout is None else self._time() + timeout
        if timeout is None or timeout > 0:
            await self.flush(timeout)
        self._finish()
        await self._tell_rejections(deadline)

    def _all_sent(self) -> None:
        if not self._sent.done():
            self._sent.set_result(None)

    async def _tell_rejections(self, deadline: float | None) -> None:
        self._all_sent()
        if self._rejects is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._rejects.drained()
            except TimeoutError:
                _log.warning("on_rejected took longer than the time to close")

    def _finish(self, failure: DfineryError | None = None) -> None:
        """End now: what is left is dropped, and whoever waits hears of it. Safe to call in any state, and again."""
        if self._accounts.closing is None:
            self._failure = failure
            self._refuse_waiting()
            left = [work for _, work in self._dispatcher.stop()]
            self.dropped(left, failure or ClientClosed("the producer closed before this was delivered"))
            self._accounts.close(self._figures())

    def _figures(self) -> dict[str, Any]:
        if self._dispatcher.stopped:
            state = "closed" if self._failure is None else "failed"
        elif self._closing is not None:
            state = "closing"
        else:
            state = self._dispatcher.state()
        return {
            **self._accounts.figures(),
            "capacity": self._config.max_pending_events,
            "in_flight": 0 if self._dispatcher.stopped else self._dispatcher.in_flight,
            "users": len(self._lanes),
            "silent_for": self._dispatcher.silent_for(),
            "state": state,
        }


def _refusal(reason: DfineryError) -> DeliveryError:
    error = DeliveryError(f"nothing gets through: {reason}")
    error.__cause__ = reason
    return error
