"""Exports: rows, or a file, out of the answers of one or more calls.

A long range of days is several calls, and each answer is a part. Parts are fetched one after the other, so rows come
in the order of days and memory stays constant. A part that breaks is fetched again as a whole, as long as none of its
rows was handed out; a file can always go back to where the part began.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import AsyncGeneratorType, TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio
import msgspec

from dfinery_async.config import RetryConfig
from dfinery_async.core.columns import row_typer
from dfinery_async.core.csv_rows import CsvRows
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.export_formats import WriterFactory, format_of
from dfinery_async.errors import DfineryError, ExportError
from dfinery_async.runtime.export_parts import Part, Parts
from dfinery_async.runtime.export_stream import ExportReply, ExportSource
from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["Export", "ExportFile", "ExportReply", "ExportSource", "korea_time"]


class ExportFile(msgspec.Struct, frozen=True):
    """A saved export.

    Attributes:
        path: where it is.
        rows: how many rows it holds.
        bytes: its size.
    """

    path: Path
    rows: int
    bytes: int


class Export:
    """An export that `client.export_events()` or `client.export_profiles()` has prepared. It runs once.

    Rows, with the columns known first:

        async with client.export_events("2025-03-01", "2025-03-02") as export:
            print(export.columns)
            async for row in export:
                ...

    A file: `await client.export_events(...).save("events.jsonl")`. Rows without `async with` work too; after a `break`
    the answer is then closed when the iterator is collected, in the block at its end.

    Args:
        source: where exports come from.
        endpoint: which call.
        bodies: the requests, one for each part, in the order of days.
        tasks: owner of the tasks that read answers.
        retry: `base` and `cap` of the waits between attempts; `total` bounds the waits for the quota.
        zone: time zone of datetimes without one; Korea's by default.
        random: uniform in [0, 1), for jitter.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        source: ExportSource,
        endpoint: Endpoint,
        bodies: Sequence[bytes],
        *,
        tasks: TaskOwner,
        retry: RetryConfig,
        random: Callable[[], float],
        zone: dt.tzinfo | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._parts = Parts(source, endpoint, bodies, tasks=tasks, retry=retry, random=random, sleep=sleep)
        self._zone = zone or korea_time()
        self._columns: tuple[str, ...] | None = None
        self._state = "new"
        self._used = False
        self._iterator: AsyncGenerator[dict[str, Any], None] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns as the server wrote them, known once the export is entered.

        Raises:
            DfineryError: it was not entered.
        """
        if self._columns is None:
            raise DfineryError("the columns are known on entering: `async with client.export_…(…) as export:`")
        return self._columns

    async def __aenter__(self) -> Self:
        """Make the first call and wait for the header of its answer.

        Raises:
            ApiError: the API refused; `RateLimited` when the quota's reset lies beyond the retry's total.
            ConnectionFailed: no answer came.
            ExportInterrupted: the answer broke off three times.
            DfineryError: the export was used already.
        """
        if self._state != "new":
            raise DfineryError("an export runs once; ask the client for another")
        self._state = "open"
        try:
            part = await self._parts.open(0)
        except BaseException:
            self._state = "closed"
            raise
        self._columns = part.header.columns
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the answer that is under way, if any, and free its place. May be called twice."""
        self._state = "closed"
        await self._parts.close()
        rows = self._iterator
        if isinstance(rows, AsyncGeneratorType) and not rows.ag_running:
            await rows.aclose()

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Give typed rows, each a dict by column, in the order of days.

        Raises:
            ExportInterrupted: an answer broke off after rows of it were handed out, or three times.
            ExportError: an answer is no CSV.
            DfineryError: as on entering; also when the export was used already.
        """
        if self._state == "new":
            # Not kept here: the export and its iterator would keep each other alive after a `break`.
            return self._rows(alone=True)
        if self._iterator is None:
            self._claim()
            self._iterator = self._rows(alone=False)
        return self._iterator

    async def save(self, path: str | os.PathLike[str]) -> ExportFile:
        """Write the export to a file, with or without `async with`, and close it.

        `.csv` holds the bytes as the server sent them, with one header; `.jsonl` typed rows, datetimes in ISO 8601 with
        their offset. The file is written aside and renamed when it is whole, readable only by the user; an existing one
        is replaced. On any failure nothing is left.

        Raises:
            InvalidInputError: the ending is none of these, or the path is a directory or a symbolic link.
            OSError: the file can't be written.
            ExportInterrupted: an answer broke off three times.
            ExportError: an answer is no CSV, or the parts of a range have different columns.
            DfineryError: as on entering; also when the export was used already.
        """
        goal = Path(path)
        make_writer = format_of(goal)
        if self._state != "new":
            self._claim()
        with AtomicFile(goal) as file:
            try:
                if self._state == "new":
                    await self.__aenter__()
                    self._claim()
                rows = await self._write(file, make_writer)
            finally:
                await self.aclose()
            size = file.size
            await _sync(file)
            file.commit()
        return ExportFile(goal, rows, size)

    def _claim(self) -> None:
        if self._state == "closed":
            raise DfineryError("the export is closed; ask the client for another")
        if self._used:
            raise DfineryError("an export runs once, as rows or into one file; ask the client for another")
        self._used = True

    async def _rows(self, *, alone: bool) -> AsyncGenerator[dict[str, Any], None]:
        try:
            if alone:
                await self.__aenter__()
                self._claim()
            for index in range(len(self._parts)):
                whole = False
                while not whole:
                    part = await self._parts.open(index)
                    handed_out = False
                    try:
                        type_row = row_typer(part.header.columns, self._zone)
                        rows = CsvRows(len(part.header.columns))
                        while data := await part.take():
                            for row in rows.feed(data):
                                handed_out = True
                                yield type_row(row)
                        for row in rows.finish(complete=part.complete):
                            handed_out = True
                            yield type_row(row)
                        whole = True
                    except DfineryError as error:
                        if handed_out:
                            raise
                        await self._parts.failed(error)
                    finally:
                        await self._parts.close()
        finally:
            if alone:
                await self.aclose()

    async def _write(self, file: AtomicFile, make_writer: WriterFactory) -> int:
        total = 0
        for index in range(len(self._parts)):
            start = file.size
            rows = None
            while rows is None:
                part = await self._parts.open(index)
                try:
                    rows = await self._write_part(part, file, make_writer, first=index == 0)
                except DfineryError as error:
                    await self._parts.failed(error)
                    file.truncate(start)
                finally:
                    await self._parts.close()
            total += rows
        return total

    async def _write_part(self, part: Part, file: AtomicFile, make_writer: WriterFactory, *, first: bool) -> int:
        if first:
            self._columns = part.header.columns  # a second attempt may have others
        elif part.header.columns != self._columns:
            raise ExportError("the parts of the range have different columns, so one file can't hold them")
        writer = make_writer(part.header, self._zone)
        file.write(writer.begin(first=first))
        while data := await part.take():
            file.write(writer.feed(data))
        file.write(writer.finish(complete=part.complete))
        return writer.rows


@functools.cache
def korea_time() -> dt.tzinfo:
    """Return the time zone of the vendor's datetimes, which its CSV writes without one.

    Korea has had no daylight saving time since 1988, so its offset stands in where a machine has no time zone data.
    """
    try:
        return ZoneInfo("Asia/Seoul")
    except ZoneInfoNotFoundError:
        return dt.timezone(dt.timedelta(hours=9), "KST")


async def _sync(file: AtomicFile) -> None:
    """Bring a file to the disk in a thread, since that may take seconds, and never leave while the thread uses it."""
    work = asyncio.get_running_loop().run_in_executor(None, file.sync)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):  # else a cancelled scope would cut every turn of this loop short
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
    work.result()
