"""Parquet, compressed with zstd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from dfinery_async.runtime.arrow import pa, pq

__all__ = ["ParquetFile"]

_GROUP_ROWS = 256 * 1024
_GROUP_BYTES = 24 * 1024 * 1024  # of a group's columns in memory, which are there twice while they are encoded


class ParquetFile:
    """Writes batches into row groups of some size, since small ones are slow to read.

    Args:
        file: where to; it is left open.
        schema: of all batches.
    """

    def __init__(self, file: BinaryIO, schema: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd")
        self._group: list[Any] = []
        self._rows = self._bytes = 0

    def write(self, batches: Iterator[Any]) -> int | None:
        """Take one batch more, for use in a thread. Returns its rows, `None` where there was none left."""
        batch = next(batches, None)
        if batch is None:
            self._end_group()
            return None
        self._group.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._end_group()
        rows: int = batch.num_rows
        return rows

    def finish(self) -> None:
        """Write what the file ends with."""
        self._writer.close()

    def abandon(self) -> None:
        """End without caring for what becomes of the file; does nothing after `finish`."""
        try:
            self._writer.close()
        except (OSError, ValueError, pa.ArrowException):
            self._writer.is_open = False  # a full disk: closing it once more, when it is collected, helps nobody

    def _end_group(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._group, self._schema), row_group_size=self._rows)
        self._group = []
        self._rows = self._bytes = 0
