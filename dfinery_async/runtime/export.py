"""Exports: rows, or a file, out of the answers of one or more calls.

A long range of days is several calls, and each answer is a part. Rows come out of the wire: parts are fetched one after
the other, and one that breaks is fetched again as long as none of its rows was handed out. Files and tables come out
of whole answers: parts are fetched side by side and kept aside, and what comes out is in the order of days.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import AsyncGeneratorType, TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from dfinery_async.config import RetryConfig
from dfinery_async.core.columns import Kinds, row_typer, typed_columns
from dfinery_async.core.csv_rows import CsvRows
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.export_formats import Form, form_of
from dfinery_async.core.export_plan import ExportCall
from dfinery_async.errors import DfineryError, InvalidInputError
from dfinery_async.runtime.compression import compressor
from dfinery_async.runtime.export_files import TextFile
from dfinery_async.runtime.export_kept import KeptAnswers, feed_through_files
from dfinery_async.runtime.export_parts import Answer, Parts
from dfinery_async.runtime.export_progress import OnProgress
from dfinery_async.runtime.export_stream import ExportReply, ExportSource
from dfinery_async.runtime.export_tables import Tables, need_arrow
from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.tasks import TaskOwner
from dfinery_async.runtime.threads import in_thread

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

    Rows, with the columns known first::

        async with client.export_events("2025-03-01", "2025-03-02") as export:
            print(export.columns)
            async for row in export:
                ...

    A file: `await client.export_events(...).save("events.parquet")`. A table of Arrow: `await export.arrow()`, or batch
    by batch with `async for batch in export.batches()`. All of them work without `async with`, too; after a `break`
    the answer is then closed when the iterator is collected, in the block at its end.

    Args:
        source: where exports come from.
        endpoint: which call.
        calls: one for each part, in the order of days.
        tasks: owner of the tasks that read answers.
        retry: `base` and `cap` of the waits between attempts; `total` bounds the waits for the quota.
        zone: time zone of datetimes without one; Korea's by default.
        kinds: what columns hold.
        width: calls side by side at the most, where answers are kept aside.
        random: uniform in [0, 1), for jitter.
        sleep: waits for some seconds; by default no longer than until the client is closed.
    """

    def __init__(
        self,
        source: ExportSource,
        endpoint: Endpoint,
        calls: Sequence[ExportCall],
        *,
        tasks: TaskOwner,
        retry: RetryConfig,
        random: Callable[[], float],
        zone: dt.tzinfo | None = None,
        kinds: Kinds,
        width: int = 1,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._parts = Parts(
            source, endpoint, calls, tasks=tasks, retry=retry, random=random, sleep=sleep or tasks.pause
        )
        self._zone = zone or korea_time()
        self._kinds = kinds
        self._width = width
        self._columns: tuple[str, ...] | None = None
        self._state = "new"
        self._used = False
        self._iterator: AsyncGenerator[Any, None] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, known once the export is entered: the server's, in its order.

        Beside `df_event_log_id`, which the API gives out with times before it, `event_log_id` holds the bare UUID.

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
        self._columns = typed_columns(part.header.columns)
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
        elif isinstance(self._iterator, AsyncGeneratorType) and self._iterator.ag_frame is None:
            raise DfineryError("the export has ended; ask the client for another")
        return self._iterator

    def batches(self) -> AsyncIterator[Any]:
        """Give Arrow record batches (`pyarrow.RecordBatch`), in the order of days; needs the extra `arrow`.

        All answers are read into temporary files first. So the types hold for every row, and nothing is given of an
        export that breaks off; memory stays constant. A column that the taxonomy knows has its type; of others,
        booleans, datetimes and lists are told by the form of all their cells, and the rest is text.

        Raises:
            ConfigError: pyarrow is not installed.
            ExportError: an answer is no CSV, a cell is not of its column's type, or parts have different columns.
            ExportInterrupted: an answer broke off three times.
            DfineryError: as on entering; also when the export was used already.
        """
        need_arrow()  # what is missing is told here, not at the first batch
        if self._state == "new":
            return self._batches(alone=True)
        self._claim()
        self._iterator = self._batches(alone=False)
        return self._iterator

    async def arrow(self) -> Any:
        """Return all rows as one `pyarrow.Table`, which Polars, pandas and DuckDB take as it is, and close the export.

        Needs the extra `arrow`. Types are those of `batches`, and so are the errors. The table is in memory.
        """
        need_arrow()
        if entered := self._state != "new":
            self._claim()
        try:
            if not entered:
                await self._begin()
            with Tables(self._zone, self._kinds) as tables:
                await self._feed(tables.add, None)
                return await tables.whole()
        finally:
            await self.aclose()

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        resume: bool = False,
        spreadsheet_safe: bool = False,
        progress: OnProgress | None = None,
    ) -> ExportFile:
        """Write the export to a file, with or without `async with`, and close it.

        `.csv` holds the bytes as the server sent them, with one header; `.jsonl` typed rows, datetimes in ISO 8601 with
        their offset; `.parquet` typed columns, compressed with zstd (extra `arrow`). `.gz` or `.zst` (extra `zstd`) may
        follow `.csv` and `.jsonl`. The file is written aside and renamed when it is whole, readable only by the
        user; an existing one is replaced. On any failure nothing is left.

        Args:
            path: the file.
            resume: when this fails, keep the answers that are whole in `NAME.parts` beside the file, and begin with
                those of an earlier run for the same question. Days that were not over by then are fetched again.
            spreadsheet_safe: put a `'` before cells of a CSV that a spreadsheet would take for a formula.
            progress: told a few times a second how far it is (`ExportProgress`).

        Raises:
            InvalidInputError: the ending is none of these, the path is a directory or a symbolic link, or `resume` is
                asked for profiles, which have no days.
            ConfigError: a package is missing for the form; the error names the extra.
            OSError: the file can't be written.
            ExportInterrupted: an answer broke off three times.
            ExportError: an answer is no CSV, or the parts of a range have different columns.
            DfineryError: as on entering; also when the export was used already.
        """
        goal = Path(path)
        form = form_of(goal, spreadsheet_safe=spreadsheet_safe)
        if form.name == "parquet":
            need_arrow()  # what is missing is told before anything is sent
        elif form.packing is not None:
            compressor(form.packing)
        kept = None
        if resume:
            if self._parts.calls[0].first is None:
                raise InvalidInputError("profiles have no days to go on at", field="resume")
            kept = KeptAnswers(goal.with_name(f"{goal.name}.parts"))
            kept.check()
        if entered := self._state != "new":
            self._claim()
        self._parts.tally.listener = progress
        with AtomicFile(goal) as file:
            try:
                if not entered:
                    await self._begin(first_call=kept is None)
                rows = await self._write(file, form, goal.parent, kept)
            finally:
                await self.aclose()
            size = file.size
            await in_thread(file.sync)
            file.commit()
        if kept is not None:
            kept.remove(self._parts.calls)
        return ExportFile(goal, rows, size)

    def _claim(self) -> None:
        if self._state == "closed":
            raise DfineryError("the export is closed; ask the client for another")
        if self._used:
            raise DfineryError("an export runs once, as rows, as a table or into one file; ask the client for another")
        self._used = True

    async def _begin(self, *, first_call: bool = True) -> None:
        """Enter and use up an export that has no block around it."""
        if first_call:
            await self.__aenter__()
        self._state = "open"
        self._claim()

    async def _rows(self, *, alone: bool) -> AsyncGenerator[dict[str, Any], None]:
        try:
            if alone:
                await self._begin()
            for index in range(len(self._parts)):
                whole = False
                while not whole:
                    part = await self._parts.open(index)
                    handed_out = False
                    try:
                        type_row = row_typer(part.header.columns, self._zone, self._kinds)
                        rows = CsvRows.of(part.header)
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

    async def _batches(self, *, alone: bool) -> AsyncGenerator[Any, None]:
        try:
            if alone:
                await self._begin()
            with Tables(self._zone, self._kinds) as tables:
                await self._feed(tables.add, None)
                async with aclosing(tables.batches()) as batches:
                    async for batch in batches:
                        yield batch
        finally:
            if alone:
                await self.aclose()

    async def _write(self, file: AtomicFile, form: Form, directory: Path, kept: KeptAnswers | None) -> int:
        if form.name == "parquet":
            with Tables(self._zone, self._kinds, directory) as tables:
                await self._feed(tables.add, directory, kept)
                return await tables.save(file.raw)
        texts = TextFile(file, form, self._zone, self._kinds)
        await self._feed(texts.add, directory, kept)
        return texts.rows

    async def _feed(
        self, add: Callable[[Answer], Awaitable[None]], directory: Path | None, kept: KeptAnswers | None = None
    ) -> None:
        """Hand all answers over in the order of days; what `add` could not take to the end, it is given again."""
        if kept is not None:
            await feed_through_files(self._parts, kept, add, self._width, korea_time())
        elif self._width > 1 and len(self._parts) > 1:
            with tempfile.TemporaryDirectory(prefix=".dfinery-", dir=directory) as aside:
                await feed_through_files(self._parts, KeptAnswers(Path(aside)), add, self._width, None)
        else:
            for index, call in enumerate(self._parts.calls):
                await self._parts.whole(index, add)
                self._parts.tally.done(call)


@functools.cache
def korea_time() -> dt.tzinfo:
    """Return the time zone of the vendor's datetimes, which its CSV writes without one.

    Korea has had no daylight saving time since 1988, so its offset stands in where a machine has no time zone data.
    """
    try:
        return ZoneInfo("Asia/Seoul")
    except ZoneInfoNotFoundError:
        return dt.timezone(dt.timedelta(hours=9), "KST")
