"""Arrow tables of an export: all answers aside as texts first, then typed batches of rows."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from dfinery_async.core.columns import Kinds, column_that_comes_twice
from dfinery_async.core.csv_rows import CsvCopy
from dfinery_async.errors import ConfigError, ExportError
from dfinery_async.redact import safe_text
from dfinery_async.runtime.export_files import check_columns
from dfinery_async.runtime.export_parts import Answer
from dfinery_async.runtime.threads import Behind, in_thread

__all__ = ["Tables", "need_arrow"]

_BLOCK = 4 * 1024 * 1024  # bytes that are parsed at once


def need_arrow() -> None:
    """Check that tables can be had.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import_module("dfinery_async.runtime.arrow")
    except ImportError:
        raise ConfigError("Arrow tables and Parquet need pyarrow: install dfinery-async[arrow]") from None


class Tables:
    """Answers as columns of texts, in temporary files that only we can read, until they are typed.

    Args:
        zone: time zone of datetimes without one.
        kinds: what columns are known to hold.
        directory: where the files are; that for temporary ones by default.

    Attributes:
        columns: of all answers, as the server wrote them; known when there was one.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, zone: dt.tzinfo, kinds: Kinds, directory: Path | None = None) -> None:
        self.columns: tuple[str, ...] | None = None
        need_arrow()
        self._texts: Any = import_module("dfinery_async.runtime.arrow.texts")
        self._zone = zone
        self._kinds = kinds
        self._directory = directory
        self._tables: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    async def add(self, answer: Answer) -> None:
        """Take an answer; when that fails, nothing of it is left.

        Raises:
            ExportError: it is no CSV, has other columns than the first, or broke off.
        """
        columns = check_columns(self.columns, answer)
        if (twice := column_that_comes_twice(columns)) is not None:
            name = safe_text(twice, answer.header.secrets)
            raise ExportError(f"the column {name!r} comes twice, which a table can't have")
        unknown = [place for place, name in enumerate(columns) if self._kinds.get(name) is None]
        with ExitStack() as aside:
            file = aside.enter_context(tempfile.TemporaryFile(dir=self._directory))
            table = self._texts.TextTable(answer.header, self._zone, unknown, file)
            await _read(table, answer)
            self._stack.push(aside.pop_all())
        self.columns = columns
        self._tables.append(table)

    async def batches(self) -> AsyncGenerator[Any]:
        """Give the rows, typed.

        Raises:
            ExportError: a cell is no value of the kind that its column is known to hold.
        """
        batches = self._typed().batches()
        while (batch := await in_thread(next, batches, None)) is not None:
            yield batch

    async def whole(self) -> Any:
        """Return all rows as one table in memory; raises as `batches` does."""
        return await in_thread(self._typed().table)

    async def save(self, file: BinaryIO) -> int:
        """Write all rows as Parquet; returns how many. Raises as `batches` does."""
        typed = self._typed()
        parquet = import_module("dfinery_async.runtime.arrow.parquet")
        goal = parquet.ParquetFile(file, typed.schema)
        try:
            groups: Iterator[list[Any]] = parquet.groups(typed.batches())
            rows = 0
            async with Behind() as behind:  # one group is written while the next one is typed
                while (group := await in_thread(next, groups, None)) is not None:
                    rows += sum(batch.num_rows for batch in group)
                    await behind.start(goal.write, group)
            await in_thread(goal.finish)
        finally:
            goal.abandon()
        return rows

    def _typed(self) -> Any:
        assert self.columns is not None  # noqa: S101 - an export has an answer
        return self._texts.TypedTables(self.columns, self._zone, self._kinds, self._tables)


async def _read(table: Any, answer: Answer) -> None:
    """Read an answer into a table: one block is parsed in a thread while the next one arrives."""
    copy = CsvCopy.of(answer.header)
    taken = 0
    blocks: list[bytes | memoryview] = []
    async with Behind() as behind:
        more = True
        while more:
            data = await answer.take()
            more = bool(data)
            blocks.extend(copy.feed(data) if more else (copy.finish(complete=answer.complete),))
            if not more or sum(map(len, blocks)) >= _BLOCK:
                await behind.start(table.add, b"".join(blocks), copy.rows - taken)
                blocks.clear()
                taken = copy.rows
    await in_thread(table.finish)
