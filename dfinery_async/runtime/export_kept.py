"""Answers kept aside as they came, each in a file of its own, until all of an export is there."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from dfinery_async.core.csv_rows import CsvCopy, Header, read_header
from dfinery_async.core.export_plan import ExportCall
from dfinery_async.errors import DfineryError, InvalidInputError
from dfinery_async.runtime.export_parts import Answer, Parts
from dfinery_async.runtime.files import AtomicFile

__all__ = ["KeptAnswer", "KeptAnswers", "feed_through_files", "fetch_in_order"]

T = TypeVar("T")

_READ = 512 * 1024
_SETTLING = 3600.0
"""Seconds after the end of a day from which on its events are taken to be all there. Reports show events about half an
hour after the call (user guide, "Testing S2S"). Some are sent later still: for those an export is made anew."""


class KeptAnswer:
    """A whole answer in a file, read from the beginning."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.header: Header = header
        self.complete: bool = True
        self._file = file
        file.seek(len(header.raw))

    @classmethod
    def open(cls, path: Path, secrets: Iterable[str] = ()) -> Self:
        """Open a file that `keep` has written.

        Args:
            path: the file.
            secrets: what no error may show, whatever stands in it.
        """
        file = path.open("rb")
        header = None
        data = b""
        while header is None:
            more = file.read(_READ)
            data += more
            header = read_header(data, ended=not more, secrets=secrets)
        return cls(file, header)

    async def take(self) -> bytes:
        """Return more of what follows the header, nothing at the end."""
        return self._file.read(_READ)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class KeptAnswers:
    """A directory of answers, by their calls.

    Args:
        directory: where they are; it is made when the first one comes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, call: ExportCall) -> Path:
        """Return the name of a call's answer: its days, and a mark of what else it asks for."""
        mark = hashlib.sha256(call.body).hexdigest()[:12]
        return self._directory / (f"{call.first}_{call.last}-{mark}.csv" if call.first else f"{mark}.csv")

    def has(self, call: ExportCall, zone: dt.tzinfo) -> bool:
        """Whether an answer is there that is still good: one of days that were over when it was fetched.

        Args:
            call: whose.
            zone: what days are counted in.
        """
        if call.last is None:
            return False
        try:
            fetched = self.path(call).stat().st_mtime
        except FileNotFoundError:
            return False
        over = dt.datetime.combine(call.last + dt.timedelta(days=1), dt.time(), zone)
        return fetched >= over.timestamp() + _SETTLING

    async def keep(self, call: ExportCall, answer: Answer) -> None:
        """Write an answer aside; it has its name when it is known to be whole.

        Raises:
            ExportError: it is no CSV, or broke off.
            OSError: it can't be written.
        """
        self._directory.mkdir(0o700, exist_ok=True)
        copy = CsvCopy.of(answer.header)
        with AtomicFile(self.path(call)) as file:
            file.write(answer.header.raw)
            while data := await answer.take():
                file.write(data)
                copy.feed(data)
            copy.finish(complete=answer.complete)
            file.commit()

    def check(self) -> None:
        """Raise InvalidInputError when the directory's name is taken by something else."""
        if self._directory.is_symlink() or (self._directory.exists() and not self._directory.is_dir()):
            raise InvalidInputError(f"{self._directory.name} stands in the way and is no directory", field="path")

    def remove(self, calls: Sequence[ExportCall]) -> None:
        """Remove answers that are no longer needed, and the directory when nothing else is in it."""
        for call in calls:
            self.path(call).unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it: answers to another question
            self._directory.rmdir()


async def feed_through_files(
    parts: Parts, kept: KeptAnswers, add: Callable[[Answer], Awaitable[None]], width: int, zone: dt.tzinfo | None
) -> None:
    """Hand the answers of all parts over in order, fetched side by side and kept aside meanwhile.

    Args:
        parts: of the export.
        kept: where answers are kept.
        add: takes one answer after the other.
        width: calls side by side at the most.
        zone: what days are counted in, where answers that are there already are good; `None` where none are.

    Raises:
        DfineryError: as `fetch_in_order`, and what `add` raises.
        OSError: an answer can't be kept.
    """
    calls = parts.calls
    there = [zone is not None and kept.has(call, zone) for call in calls]
    missing = [index for index, good in enumerate(there) if not good]
    fetched = fetch_in_order(
        parts, missing, width, lambda index, answer: kept.keep(calls[index], answer), to_the_end=zone is not None
    )
    async with aclosing(fetched):
        for call, good in zip(calls, there, strict=True):
            if not good:
                await anext(fetched)
            with closing(KeptAnswer.open(kept.path(call), parts.secrets)) as answer:
                await add(answer)
            parts.tally.done(call)


async def fetch_in_order(
    parts: Parts,
    indexes: Sequence[int],
    width: int,
    use: Callable[[int, Answer], Awaitable[T]],
    *,
    to_the_end: bool = False,
) -> AsyncGenerator[T]:
    """Fetch some parts, several side by side, and give what `use` makes of each, in order.

    The first one goes ahead alone until the API has begun to answer: what is wrong with a question is then wrong with
    one call, not with five.

    Args:
        parts: of the export.
        indexes: which of them.
        width: how many at once.
        use: what is done with an answer.
        to_the_end: whether those under way are awaited when one can't be had: their calls are paid for.

    Raises:
        DfineryError: a part can't be had; the others have ended before.
    """
    if not indexes:
        return
    await parts.open(indexes[0])
    places = asyncio.Semaphore(width)
    failed = False

    async def fetch(index: int) -> T:
        nonlocal failed
        alone = parts if index == indexes[0] else parts.one(index)
        async with places:
            if failed:
                raise asyncio.CancelledError  # nobody asks for this one any more
            try:
                return await alone.whole(index if alone is parts else 0, lambda answer: use(index, answer))
            except DfineryError:
                failed = True
                raise

    tasks = [asyncio.create_task(fetch(index)) for index in indexes]
    try:
        for place, task in enumerate(tasks):
            await _until_done(task, tasks[place:])
            yield task.result()
    except DfineryError:
        if to_the_end:
            await asyncio.wait(tasks)
        raise
    finally:
        await _end(tasks)
        await parts.close()  # a task that was cancelled before it began has closed nothing


async def _until_done(task: asyncio.Task[T], others: Sequence[asyncio.Task[T]]) -> None:
    """Wait for a task; raises what ended another one meanwhile."""
    while True:
        for other in others:
            if other.done() and not other.cancelled():
                other.result()
        if task.done():
            return
        await asyncio.wait([other for other in others if not other.done()], return_when=asyncio.FIRST_COMPLETED)


async def _end(tasks: Sequence[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio must not print what nobody asks for
