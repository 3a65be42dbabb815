"""The loop's side of the spool: what is written together, what is read back when, and who is told.

One task does one thing at a time in the spool's thread, so that whatever came in during one sync of the disk is written
together by the next. A unit enters the lanes when it is on disk, so nothing is sent that a crash could make us forget.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from dfinery_async.config import DeliveryConfig, SpoolConfig
from dfinery_async.core.books import Books
from dfinery_async.core.spool_rows import row_of
from dfinery_async.core.spool_shelf import Shelf
from dfinery_async.core.work import Work
from dfinery_async.errors import SpoolError, SpoolFull
from dfinery_async.runtime.receipts import Receipt
from dfinery_async.runtime.spool.notices import Notices
from dfinery_async.runtime.spool.placement import Entry, Keeper, Placement, Waiter
from dfinery_async.runtime.spool.queue import Job, Queue
from dfinery_async.runtime.spool.sleeper import Sleeper
from dfinery_async.runtime.spool.stores import Opened, Stores
from dfinery_async.runtime.spool.worker import Worker
from dfinery_async.runtime.spool.writer import Committed, Step
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Spool"]

_log = logging.getLogger("dfinery_async.spool")

_REST: Final = 1.0  # seconds of nothing to do before rows are deleted and room is given back
_REPAIR_EVERY: Final = 1.0
_HANGING: Final = 5.0  # seconds that an end waits for the disk
_LAST_CLEANUP: Final = 0.25
_TIGHT: Final = 0.9  # of the bound, from which on nothing that is done is left lying


class Spool:
    """Keeps units on disk until they are done.

    Args:
        config: where, and how.
        binding: whose units these are.
        delivery: how much may be in memory.
        books: the producer's.
        keeper: the producer.
        tasks: who owns our task.

    Attributes:
        engaged: whether units are written before anything else happens to them.
        marks: values that were found by name.
    """

    def __init__(
        self,
        config: SpoolConfig,
        binding: str,
        *,
        delivery: DeliveryConfig,
        books: Books,
        keeper: Keeper,
        tasks: TaskOwner,
    ) -> None:
        self.engaged: bool = True  # until it is known that nothing waits on disk
        self.marks: dict[str, str] = {}
        self._always = config.mode == "always"
        self._bound = int(config.max_bytes * 0.95)  # what is above is for notes of what is done
        self._keeper = keeper
        self._placement = Placement(delivery, books, keeper)
        self._stores = Stores(config, binding)
        self._worker = Worker()
        self._notices = Notices(self._stores, self._worker)
        self._queue = Queue(keeper)
        self._done: dict[int, list[Sequence[int]]] = {}  # numbers that are to be noted, by rank
        self._job: Job | None = None
        self._used = 0
        self._broken: SpoolError | None = None
        self._untidy = True
        self._full = False  # whether something did not fit, so that room is to be made at once
        self._ended = False
        self._sleeper = Sleeper()
        self._space: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._task = tasks.start(self._run(), "spool")

    async def opened(self) -> None:
        """Wait until it is known what is on disk.

        Raises:
            SpoolError: it can't be used.
        """
        await asyncio.shield(self._opened)

    def check(self) -> None:
        """Raise what keeps the spool from taking anything, if something does."""
        if self._broken is not None:
            raise type(self._broken)(*self._broken.args) from self._broken

    def has_room(self, receipt: Receipt) -> bool:
        """Whether a unit fits within the bound."""
        return self._used + self._queue.size + receipt.size <= self._bound

    def full(self) -> SpoolFull:
        """Make the error for those that do not fit."""
        return SpoolFull(
            f"the spool holds {self._used:,} bytes of at most {self._bound:,}; raise its max_bytes, or hand over when "
            "more was sent"
        )

    def take(
        self, key: bytes, receipt: Receipt, waiter: Waiter | None = None, mark: tuple[str, str] | None = None
    ) -> None:
        """Write a unit that was entered into the books, then send it.

        Args:
            key: whose it is.
            receipt: the unit.
            waiter: told when it is on disk, or that it was not taken over. Without one it is sent from memory then.
            mark: a name and a value to be kept together with it.
        """
        self._queue.put(Entry(key, receipt, waiter, mark))
        self._sleeper.wake()

    def done(self, works: Iterable[Work]) -> None:
        """Note soon that units need not be kept any longer."""
        if left := self._placement.leave(works):
            for rank, numbers in left.items():
                self._done.setdefault(rank, []).append(numbers)
            self._sleeper.wake()
        elif self.engaged:
            self._sleeper.wake()  # nothing of it was on disk, but somebody answers
        if self._space:
            self._tell_space()

    def away(self) -> None:
        """Nothing gets through: what is in memory alone is written, and what comes is written first."""
        if not self.engaged and self._broken is None:
            self._engage(on=True)
            self._write_memory()
            self._sleeper.wake()

    async def written(self) -> None:
        """Have all that is in memory alone written, and wait for it."""
        self.away()
        while (self._queue or self._job is not None) and self._broken is None and not self._ended:
            await self.space()

    async def space(self) -> None:
        """Wait until something has changed: units were written, or are done."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._space.append(waiter)
        await waiter

    def end(self) -> None:
        """Write what is not on disk yet, and let the whole loop wait for it; then take nothing more.

        Units for which that fails stay in memory alone; those whose callers still wait are given back to them.
        """
        if self._ended:
            return
        self._ended = True
        problem = self._broken or SpoolError("the spool was closed before this was written")
        try:
            if self._queue and not self._placement.shelves:  # closed before it was open
                self._stock(self._worker.run_now(self._stores.open, _HANGING))
            if self._placement.shelves:
                self._write_last()
        except TimeoutError:
            problem = SpoolError("the disk of the spool does not answer")
        except SpoolError as error:
            problem = error
        self._placement.keep_rest()
        self._queue.give_back(() if self._job is None else self._job.entries, problem)
        self._queue.give_back(self._queue.take_all(), problem)
        self._tell_space()
        self._sleeper.wake()

    def _write_last(self) -> None:
        self._write_memory()
        self._worker.run_now(lambda: None, _HANGING)  # what is under way comes to its end
        self._land()
        while (self._queue or self._done) and self._broken is None:
            self._job = job = self._next_job()
            self._worker.run_now(partial(job.run, self._stores), _HANGING)
            self._land()

    async def aclose(self) -> None:
        """Wait until files and slots were given back, after `end`."""
        await asyncio.wait([self._task])

    # What the task does.

    async def _run(self) -> None:
        try:
            opened = await self._worker.run(self._stores.open)
            if self._ended:
                return
            self._stock(opened)
            self._engage(on=self._always or opened.units > 0 or bool(self._queue))
            self._opened.set_result(None)
            while not self._ended:
                await self._turn()
            await self._clean_up(self._loop.time() + _LAST_CLEANUP)
            await self._worker.run(self._stores.close)
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise  # somebody cancelled our task, or the interpreter ends
        finally:
            self._worker.end_with(self._stores.close)
            if not self._opened.done():  # it has ended before
                self._opened.set_result(None)

    def _stock(self, opened: Opened) -> None:
        self.marks = opened.marks
        self._placement.stock(opened.shelves, opened.units, opened.size)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SpoolError):
            self._broken = error
        if not self._opened.done():
            self._opened.set_exception(self._broken or SpoolError("the spool was not opened"))
            self._opened.exception()  # nobody need wait for it
        if not self._ended:
            self._keeper.unspooled(error)

    def _engage(self, *, on: bool) -> None:
        if on is not self.engaged:
            self.engaged = on
            self._keeper.engaged(on=on)

    async def _turn(self) -> None:
        if self._broken is not None:
            await self._repair()
            return
        idle = True
        if self._queue or self._done:
            idle = False
            await self._commit(self._next_job())
        if self._full and not self._ended and self._broken is None:
            self._full = False
            await self._clean_up(self._loop.time() + _REST)
            await self._worker.run(self._stores.tidy)
        wanted = self._placement.wanted()
        if wanted is not None and not self._ended and self._broken is None:
            idle = False
            await self._read_back(wanted)
        for shelf in self._placement.shelves[:-1]:
            if shelf.finished and not shelf.retired and shelf.rank not in self._done:
                await self._retire(shelf)
        if not self._ended:
            await self._notices.tell(self._placement.shelves)
        if idle and not self._ended:
            await self._rest()

    async def _read_back(self, wanted: tuple[int, int, int, int]) -> None:
        try:
            window = await self._worker.run(partial(self._stores.read, *wanted))
        except SpoolError as error:
            self._note_trouble(error)
            return
        if not self._ended:
            self._placement.bring_back(wanted[0], window)
            if self._placement.wanted() is None:
                self._keeper.release()  # it has waited on disk long enough

    async def _retire(self, shelf: Shelf) -> None:
        """Give back a slot that was taken over, empty."""
        while self._broken is None and not self._ended and (cleanup := shelf.cleanup(all_of_it=True)):
            await self._commit(Job((), {shelf.rank: Step(cleanup=cleanup)}))
        if self._broken is None and not self._ended:
            shelf.retired = True
            await self._worker.run(partial(self._stores.retire, shelf.rank))

    async def _rest(self) -> None:
        """Wait for something to do; after a while of nothing, put the files in order."""
        if not self._always and self._placement.caught_up and self._keeper.reachable():
            self._engage(on=False)
        if await self._sleeper.sleep(_REST if self._untidy else None):
            await self._clean_up()
            if not (self._queue or self._done or self._ended):
                self._untidy = await self._worker.run(self._stores.tidy)
                await self._notices.tell(self._placement.shelves, at_rest=True)
                self._tell_space()

    async def _clean_up(self, deadline: float | None = None) -> None:
        """Delete all that is done, as long as there is nothing else to do, or until the deadline at the end."""
        while self._broken is None and (
            not (self._queue or self._done or self._ended) if deadline is None else self._loop.time() < deadline
        ):
            job = self._next_job(all_of_it=True)
            if not job.steps:
                return
            await self._commit(job)

    # Transactions.

    def _next_job(self, *, all_of_it: bool = False) -> Job:
        entries = self._queue.take()
        own, seed = self._placement.own, self._stores.seed
        rows = [row_of(number, entry.key, entry.receipt, seed) for number, entry in enumerate(entries, own.last + 1)]
        marks = [(index, *entry.mark) for index, entry in enumerate(entries) if entry.mark is not None]
        tight = self._used + self._queue.size > self._bound * _TIGHT
        steps: dict[int, Step] = {}
        for shelf in self._placement.shelves:
            if shelf.retired:
                continue
            done = self._done.pop(shelf.rank, ())
            cleanup = shelf.cleanup(all_of_it=all_of_it or tight)
            if shelf is own and rows:
                steps[shelf.rank] = Step(rows, done, cleanup, marks)
            elif done or cleanup:
                steps[shelf.rank] = Step(done=done, cleanup=cleanup)
        return Job(entries, steps)

    async def _commit(self, job: Job) -> None:
        self._job = job
        await self._worker.run(partial(job.run, self._stores))
        self._land()

    def _land(self) -> None:
        """Take note of how a transaction went, unless that was done before."""
        job, self._job = self._job, None
        if job is None or job.outcome is None:
            return
        self._used = job.outcome.used
        for rank, step in job.steps.items():
            shelf, done = self._placement.shelves[rank], job.outcome.steps[rank]
            if shelf is self._placement.own:
                self._take_in(job.entries, done)
            if done.rest is None:
                for numbers in step.done:
                    shelf.noted(max(numbers))
            else:
                self._done[rank] = [*step.done, *self._done.get(rank, ())]
                shelf.restore(step.cleanup)
                self._note_trouble(done.rest)
        self._untidy = True
        self._tell_space()

    def _take_in(self, entries: Sequence[Entry], done: Committed) -> None:
        kept, others = entries[: done.appended], entries[done.appended :]
        self._placement.place(kept)
        self.done(entry.receipt for entry in kept if entry.sent and entry.receipt.done())
        if done.problem is not None:
            self._queue.give_back(others, done.problem)
            if isinstance(done.problem, SpoolFull):
                self._full = True
            else:
                self._note_trouble(done.problem)

    def _note_trouble(self, error: SpoolError) -> None:
        if self._broken is None:
            self._broken = error
            self._engage(on=self._always)  # until it is mended, what comes stays in memory where that is allowed
            self._queue.give_back(self._queue.take_all(), error)
            _log.error("%s", error)

    async def _repair(self) -> None:
        """Open the stores again after a failure, now and then, until that goes well."""
        await asyncio.sleep(_REPAIR_EVERY)
        if self._ended:
            return
        try:
            if not isinstance(self._broken, SpoolFull):
                await self._reopen()
        except SpoolError as error:
            _log.warning("the spool can't be used yet: %s", error)
        else:
            self._broken = None

    async def _reopen(self) -> None:
        count = size = 0
        for shelf in self._placement.shelves:
            if shelf.retired:
                continue
            state = await self._worker.run(partial(self._stores.reopen, shelf.rank, shelf.last, shelf.read_to))
            count, size = count + state.units, size + state.size
            shelf.away = min(shelf.away, state.units)
            if state.kept is not None:
                shelf.lose(state.kept)
        self._placement.recount(count, size)

    def _write_memory(self) -> None:
        """Queue all that is in memory alone, before what comes."""
        for key, work in self._keeper.unsettled():
            if work.seq == 0 and isinstance(work, Receipt):
                self._queue.put(Entry(key, work, sent=True))

    def _tell_space(self) -> None:
        space, self._space = self._space, []
        for waiter in space:
            if not waiter.done():
                waiter.set_result(None)
