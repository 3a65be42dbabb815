"""A producer that keeps on disk what it accepted, until the API has confirmed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Literal, Self

import msgspec

from dfinery_async.config import DeliveryConfig, RetryConfig, SpoolConfig
from dfinery_async.core.work import Batch, Work
from dfinery_async.errors import DfineryError
from dfinery_async.models import Delivery, Event, Identity, Report
from dfinery_async.runtime.checked_producer import CheckedProducer
from dfinery_async.runtime.dispatcher import YIELD_EVERY
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.intake import event_receipt, identity_receipt, profile_receipt
from dfinery_async.runtime.loading import Progress, Reporter, Source, pull
from dfinery_async.runtime.producer import Producer
from dfinery_async.runtime.receipts import KeptReceipt, Receipt
from dfinery_async.runtime.rejects import OnRejected
from dfinery_async.runtime.spool.placement import Waiter
from dfinery_async.runtime.spool.spool import Spool
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["CheckedSpooledProducer", "SpooledProducer", "Stream"]

_SPOOLED = Delivery(status="spooled", attempts=0)
_DELIVERIES = 0.8  # of the time to close; in the rest what is left in memory is written


class SpooledProducer(Producer):
    """A `Producer` with a spool. Everything else about it is the same."""

    def __init__(
        self,
        gateway: Gateway,
        config: DeliveryConfig,
        *,
        spool: SpoolConfig,
        retry: RetryConfig,
        tasks: TaskOwner,
        random: Random,
        on_rejected: OnRejected | None = None,
    ) -> None:
        timeout = config.delivery_timeout
        config = msgspec.structs.replace(config, delivery_timeout=None)  # what is kept goes in its turn, however late
        super().__init__(gateway, config, retry=retry, tasks=tasks, random=random, on_rejected=on_rejected)
        patience = None if timeout is None else partial(self._until_safe, timeout)
        self._make_receipt = KeptReceipt if patience is None else partial(KeptReceipt, patience=patience)
        self.engaged(on=True)
        self._on_failure = spool.mode == "on_failure"
        self._spool = Spool(
            spool,
            f"{gateway.service_id} at {gateway.origin}",
            delivery=config,
            books=self._books,
            keeper=self,
            tasks=tasks,
        )
        if self._rejects is not None:
            self._rejects.handed_over = lambda work: self._spool.done([work])

    async def __aenter__(self) -> Self:
        self._place.check("producer")
        await self._spool.opened()
        return self

    def track_nowait(self, identity: Identity | str, event: Event | str) -> Receipt:
        """Hand over one event if there is room for it now. It is written soon, and is safe on disk only then.

        Raises as `Producer.track_nowait` does, and SpoolFull.
        """
        if not self._spool.engaged:
            return super().track_nowait(identity, event)
        key, receipt = event_receipt(identity, event, self._dispatcher.turn_began(), self._make_receipt)
        self._keep(key, receipt, None)
        return receipt

    async def track_many(self, source: Source, *, progress: Progress | None = None) -> int:
        """As `Producer.track_many`; it returns when all of them are safe on disk."""
        if self._on_failure:
            return await super().track_many(source, progress=progress)
        with Reporter(self.stats, progress):
            stream = Stream(self)
            count = await pull(source, stream.track)
            await stream.kept()
        return count

    async def flush(self, timeout: float | None = None) -> Report:
        """As `Producer.flush`; what was found on disk is covered."""
        self._place.check("producer")
        deadline = None if timeout is None else self._time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                await self._spool.opened()
        except TimeoutError:
            pass
        return await super().flush(None if deadline is None else max(0.0, deadline - self._time()))

    async def marks(self) -> dict[str, str]:
        """Return the values that were kept beside units, by name, as they were found on disk."""
        await self._spool.opened()
        return self._spool.marks

    def examine(self, event: Event) -> None:
        """Look at an event that comes from a source, before it is taken over."""

    def intake(self) -> tuple[float, Callable[..., Receipt]]:
        """Return when this turn of the loop began, and what makes receipts."""
        return self._dispatcher.turn_began(), self._make_receipt

    async def keep(self, key: bytes, receipt: Receipt, waiter: Stream, mark: tuple[str, str] | None = None) -> None:
        """Hand over a unit of a stream: waits for room in memory and on disk, not until it is written."""
        while self._closing is None and not self._has_room(receipt):
            self._release()
            await self._spool.space()
        self._check_open()
        self._spool.check()
        self._take_over(key, receipt, waiter, mark)

    # What the spool asks of us (`placement.Keeper`).

    def enter(self, key: bytes, receipt: Receipt) -> None:
        """Send a unit when its turn comes."""
        self._lanes.add(key, receipt, receipt.accepted_at)
        if not self._dispatcher.pumping:
            self._dispatcher.wake()

    def engaged(self, *, on: bool) -> None:
        """Let what is handed over go to the spool first, or straight to memory, as if there were no spool."""
        offer = self._offer_to_spool if on else super()._offer
        self._offer = offer  # type: ignore[method-assign] # a question less for every unit

    def release(self) -> None:
        """Send what waits, however full its requests are."""
        self._release()

    def unsettled(self) -> Iterator[tuple[bytes, Work]]:
        """Give all units in memory, each user's in order."""
        return self._dispatcher.works()

    def reachable(self) -> bool:
        """Whether requests get through."""
        return self._dispatcher.health.open

    def withdrawn(self, receipt: Receipt) -> None:
        """Take out of the books what was not taken over after all."""
        self._accounts.withdraw(receipt)

    def damaged(self, count: int, size: int, epoch: int) -> None:
        """Enter units on disk that can't be read any more."""
        self._accounts.settle_away(count, size, epoch, "rejected")

    def unspooled(self, error: BaseException) -> None:
        """End: what was promised can't be kept without the spool."""
        if isinstance(error, DfineryError):
            self._finish(error)
        else:
            self.crashed(error)

    # What the dispatcher tells us.

    def delivered(self, batch: Batch) -> None:
        """Enter a confirmed request, and forget its units on disk."""
        super().delivered(batch)
        self._spool.done(batch.works)

    def rejected(self, batch: Batch, error: DfineryError) -> None:
        """Enter a work that the API refused. It is kept until that was told."""
        super().rejected(batch, error)
        if self._rejects is None:
            self._spool.done(batch.works)

    def dropped(self, works: Sequence[Work], error: DfineryError) -> None:
        """Enter works that were given up: what is on disk stays there."""
        kept = [work for work in works if work.seq > 0]
        self._settle(kept, "spooled", _SPOOLED)
        super().dropped([work for work in works if work.seq <= 0], error)

    def away(self) -> None:
        """Write what waits: nobody knows how long this takes."""
        super().away()
        self._write()

    def hopeless(self, error: DfineryError) -> None:
        """There is room on disk, whatever the API says."""

    def _write(self) -> None:
        """Write what is in memory alone, and first what comes from now on, of those who wait for room before others."""
        self._spool.away()
        if self._spool.engaged:
            self._room.divert(self._take_over)

    def _offer_to_spool(self, key: bytes, receipt: Receipt) -> Awaitable[None] | None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return waiter if self._keep(key, receipt, waiter) else None

    def _keep(self, key: bytes, receipt: Receipt, waiter: asyncio.Future[None] | None) -> bool:
        """Have a unit written. Returns whether it will be, as it is not dropped."""
        self._check_open()
        self._spool.check()
        if not self._spool.has_room(receipt):
            if self._config.on_full == "drop_newest":
                self._drop_newest(receipt, self._spool.full())
                return False
            raise self._spool.full()
        self._take_over(key, receipt, waiter)
        return True

    def _take_over(
        self, key: bytes, receipt: Receipt, waiter: Waiter | None, mark: tuple[str, str] | None = None
    ) -> None:
        self._books.accept(receipt)
        self._spool.take(key, receipt, waiter, mark)

    async def _until_safe(self, timeout: float, receipt: KeptReceipt) -> Delivery | None:
        """Wait for the outcome of a unit, and when its time is over only until it is on disk."""
        try:
            async with asyncio.timeout_at(receipt.accepted_at + timeout):
                await receipt.settled()
        except TimeoutError:
            while receipt.seq == 0 and not receipt.done():
                self._write()
                await self._spool.space()
        return None if receipt.done() else _SPOOLED

    def _has_room(self, receipt: Receipt) -> bool:
        books, config = self._books, self._config
        waiting, size = books.pending + books.away, books.pending_bytes + books.away_bytes
        fits = waiting == 0 or (waiting < config.max_pending_events and size + receipt.size <= config.max_pending_bytes)
        return fits and (waiting == 0 or self._spool.has_room(receipt))

    async def _close(self, timeout: float | None) -> None:
        deadline = None if timeout is None else self._time() + timeout
        if self._on_failure and timeout:
            await self.flush(timeout * _DELIVERIES)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._spool.written()
            except TimeoutError:
                pass
        if deadline is None or deadline > self._time():
            await self.flush(None if deadline is None else deadline - self._time())
        await self._tell_rejections(deadline)
        self._finish()
        await self._spool.aclose()

    def _finish(self, failure: DfineryError | None = None) -> None:
        if self._accounts.closing is None:
            self._failure = failure
            self._refuse_waiting()
            self._spool.end()
        super()._finish(failure)

    def _check_way(self) -> None:
        """There is room on disk, whatever the API says."""


class CheckedSpooledProducer(CheckedProducer, SpooledProducer):
    """A producer with both: a look into the taxonomy, and a spool."""

    def examine(self, event: Event) -> None:
        """Look at an event that comes from a source."""
        self._check.event(event)


class Stream:
    """Many units, one after the other: each is handed over without waiting until the one before is on disk.

    Args:
        producer: takes them.
    """

    def __init__(self, producer: SpooledProducer) -> None:
        self._producer = producer
        self._under_way = 0
        self._since_yield = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def track(self, identity: Identity | str, event: Event | str, mark: tuple[str, str] | None = None) -> None:
        """Hand over an event, and a mark that is kept together with it. Raises as `Producer.track` does."""
        self._producer.examine(event := Event.of(event))
        await self._put(*event_receipt(identity, event, *self._producer.intake()), mark)

    async def identify(self, identity: Identity | str, mark: tuple[str, str] | None = None) -> None:
        """Hand over an identity."""
        await self._put(*identity_receipt(identity, *self._producer.intake()), mark)

    async def set_profile(
        self, identity: Identity | str, properties: Mapping[str, Any], mark: tuple[str, str] | None = None
    ) -> None:
        """Hand over user properties."""
        await self._put(*profile_receipt(identity, properties, *self._producer.intake()), mark)

    async def kept(self) -> None:
        """Wait until all of them are on disk.

        Raises:
            SpoolError: one of them could not be written.
        """
        while self._under_way and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    async def _put(self, key: bytes, receipt: Receipt, mark: tuple[str, str] | None) -> None:
        if self._error is not None:
            raise self._error
        await self._producer.keep(key, receipt, self, mark)
        self._under_way += 1
        self._since_yield += 1
        if self._since_yield >= YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)

    # What the spool tells us (`placement.Waiter`).

    def done(self) -> Literal[False]:
        """It always wants to know."""
        return False

    def set_result(self, _: object, /) -> None:
        """One more is on disk."""
        self._under_way -= 1
        self._tell()

    def set_exception(self, error: Exception, /) -> None:
        """One was not taken over."""
        self._error = error
        self._tell()

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._error is not None or not self._under_way):
            self._waiter.set_result(None)
