"""`dfinery load`: files through a producer, good lines on their way, bad ones set aside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.cli.exits import CliError, Exit, ending
from dfinery_async.cli.grouped import GroupedReading
from dfinery_async.cli.hindrance import Hindrance
from dfinery_async.cli.interrupts import Interrupts
from dfinery_async.cli.output import warn
from dfinery_async.cli.progress import STATES, ProgressView
from dfinery_async.cli.reading import Reading
from dfinery_async.cli.rejects import RejectsFile
from dfinery_async.cli.resuming import MarkedReading
from dfinery_async.cli.texts import until
from dfinery_async.config import SpoolConfig
from dfinery_async.core.records import Kind
from dfinery_async.errors import DfineryError
from dfinery_async.runtime.feeding import LAST_WORDS, UNTIL_THE_END, hand_over, lost_cause
from dfinery_async.runtime.spooled_producer import SpooledProducer

if TYPE_CHECKING:
    from dfinery_async.client import DfineryClient
    from dfinery_async.models import Rejection, Report, Stats
    from dfinery_async.runtime.producer import Producer

__all__ = ["Load", "LoadResult"]

_GROUPED_LINGER: Final = 5.0  # seconds: the rest of a user comes at once, unless there is no room for it
_PIPE_LINGER: Final = 5.0  # seconds that what came out of a pipe waits at the most, while it does not pause
_FEW: Final = 10_000  # events at once, where those of a user follow each other anyway
_FEW_BYTES: Final = 8 * 1024 * 1024
_LOOK: Final = 0.1  # seconds between two looks at the producer


class LoadResult:
    """How a load ended.

    Attributes:
        report: the producer's books, which know nothing of bad lines.
        unreadable: bad lines.
        exit: the exit code.
    """

    def __init__(self, report: Report, unreadable: int, code: Exit) -> None:
        self.report = report
        self.unreadable = unreadable
        self.exit = code

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of `--json`. A bad line counts as accepted and as rejected, so that the books balance."""
        books = self.report.to_dict()
        return {
            "accepted": books["accepted"] + self.unreadable,
            "delivered": books["delivered"],
            "rejected": books["rejected"] + self.unreadable,
            **{name: books[name] for name in ("dropped", "spooled", "pending", "requests", "retries", "throttled")},
            "seconds": round(books["seconds"], 3),
            "unreadable": self.unreadable,
        }


class Load:
    """One run over some files. The first Ctrl-C ends the reading, the second ends it all.

    Args:
        client: where to send to.
        kind: what the files hold.
        reading: the files.
        rejects: where refused units go.
        view: where progress is shown.
        give_up_after: seconds without any answer until the API counts as unreachable.
        spool: where what was read is kept until it is delivered; nowhere by default.
    """

    def __init__(
        self,
        client: DfineryClient,
        kind: Kind,
        reading: Reading,
        *,
        rejects: RejectsFile | None,
        view: ProgressView,
        give_up_after: float,
        spool: SpoolConfig | None = None,
    ) -> None:
        self._client = client
        self._kind: Kind = kind
        self._reading = reading
        self._rejects = rejects
        self._view = view
        self._give_up_after = give_up_after
        self._spool = spool
        self._interrupts = Interrupts()
        self._time = asyncio.get_running_loop().time
        self._hindrance = Hindrance(self._time())
        self._refusals: dict[str, int] = {}
        self._failure: CliError | None = None

    async def run(self) -> LoadResult:
        """Load the files; returns when all is settled, or there is no more use in trying."""
        # A file waits for its quota however long that takes; whether anybody answers is watched over here.
        producer = self._client.producer(
            on_rejected=self._refused, delivery_timeout=None, spool=self._spool, **self._packing()
        )
        async with producer:
            for source in self._reading.sources:
                source.on_pause = lambda: producer.flush(0)  # a pipe that pauses may be somebody who waits
            with self._interrupts:
                ended = await self._watch(producer, asyncio.create_task(self._read(producer)))
                if ended is None:
                    ended = await self._watch(producer, asyncio.create_task(producer.flush()))
                if ended is not None and ended[0] is Exit.INTERRUPTED:
                    ended = Exit.INTERRUPTED, await self._drain(producer)
                at_once = self._interrupts.count > 1 or ended is None
                report = await producer.aclose(timeout=0 if at_once else LAST_WORDS)
        return self._result(report, ended)

    async def _drain(self, producer: Producer) -> str:
        """Send what was read, as long as it gets through. Returns why it was ended early, if it was."""
        self._hindrance.interrupted(self._time())
        ended = await self._watch(producer, asyncio.create_task(producer.flush()), draining=True)
        return "" if ended is None else ended[1]

    def _packing(self) -> dict[str, Any]:
        """Return how the producer packs.

        What waits for more of its user waits until there is no more room or the files have ended: so a file whose users
        are interleaved needs hardly more requests than one in which they stand together. A pipe may not end: what came
        out of it waits no longer than until it pauses.
        """
        if isinstance(self._reading, GroupedReading):
            return {"linger": _GROUPED_LINGER, "max_pending_events": _FEW, "max_pending_bytes": _FEW_BYTES}
        return {"linger": UNTIL_THE_END if self._reading.ends else _PIPE_LINGER}

    async def _read(self, producer: Producer) -> None:
        if isinstance(self._reading, MarkedReading) and isinstance(producer, SpooledProducer):
            await self._reading.feed(producer)
            return
        async for block in self._reading.blocks():
            for record in block:
                await hand_over(producer, record)

    async def _watch(
        self, producer: Producer, work: asyncio.Task[Any], *, draining: bool = False
    ) -> tuple[Exit, str] | None:
        """Wait for `work`, and show how it goes. Returns why it was ended early, if it was."""
        stop = asyncio.create_task(self._interrupts.wait(2 if draining else 1))
        try:
            while not work.done():
                await asyncio.wait({work, stop}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
                stats = producer.stats()
                self._show(stats)
                if stop.done():
                    return Exit.INTERRUPTED, ""
                if ended := self._hopeless(producer, stats, draining=draining):
                    return ended
        finally:
            stop.cancel()
            work.cancel()  # does nothing to one that is done
            await asyncio.wait({work, stop})
        if isinstance(error := work.exception(), CliError):
            self._failure = error
        elif isinstance(error, DfineryError):  # of the spool, such as a full disk: there are books all the same
            code, message = ending(error)
            self._failure = CliError(message, code)
        elif error is not None:
            raise error
        return None

    def _hopeless(self, producer: Producer, stats: Stats, *, draining: bool) -> tuple[Exit, str] | None:
        """Say why there is no use in going on, or `None`."""
        if self._failure is not None:
            return self._failure.code, str(self._failure)
        error = lost_cause(producer, stats, self._give_up_after)
        if error is not None:
            return ending(error)
        now, trouble, wait = self._time(), producer.trouble, self._wait(stats)
        if draining and self._hindrance.stuck(stats, now):
            return Exit.INTERRUPTED, self._hindrance.reason(stats, trouble, wait, now)
        self._hindrance.look(stats, trouble, wait, now)
        return None

    def _result(self, report: Report, ended: tuple[Exit, str] | None) -> LoadResult:
        for text, count in self._refusals.items():
            warn(f"refused {count:,} times: {text}")
        self._reading.sum_up()
        unreadable = self._reading.unreadable
        if ended is None and self._failure is not None:
            ended = self._failure.code, str(self._failure)
        if ended is not None:
            code, reason = ended
            if reason:
                warn(reason)
            return LoadResult(report, unreadable, code)
        whole = report.delivered == report.accepted and not unreadable
        return LoadResult(report, unreadable, Exit.OK if whole else Exit.INCOMPLETE)

    def _refused(self, rejection: Rejection) -> None:
        text = str(rejection.error)
        self._refusals[text] = self._refusals.get(text, 0) + 1
        if self._rejects is not None:
            try:
                self._rejects.add(rejection)
            except CliError as error:
                self._failure = error

    def _show(self, stats: Stats) -> None:
        read = self._reading.fraction
        settled = (stats.accepted - stats.pending) / stats.accepted if stats.accepted else 0.0
        self._view.show(
            # What is read but not settled is not done; the unknown rest of the files is taken to be like what was read.
            None if read is None else settled * read,
            {"delivered": stats.delivered, "requests": stats.requests},
            f"delivered {stats.delivered:,}  {{delivered}}  rejected {stats.rejected + self._reading.unreadable:,}\n"
            f"requests {stats.requests:,}  {{requests}}  throttled {stats.throttled:,}",
            self._state(stats),
        )

    def _state(self, stats: Stats) -> str:
        """Say what hinders the load, and until when where it is the quota."""
        text = self._reading.state or STATES.get(stats.state, "")
        wait = self._wait(stats)
        return f"{text} until {until(wait)}" if wait else text

    def _wait(self, stats: Stats) -> float:
        """Return the seconds until the quota lets calls go again."""
        return self._client.quota(self._kind).wait if stats.state == "throttled" else 0.0
