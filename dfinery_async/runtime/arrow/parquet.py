"""Parquet, compressed with zstd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from dfinery_async.runtime.arrow import pa, pq

__all__ = ["ParquetFile", "groups"]

_GROUP_ROWS = 256 * 1024
_GROUP_BYTES = 7 * 1024 * 1024  # in memory, where one group is encoded while the next is gathered


class ParquetFile:
    """Writes groups of rows.

    Args:
        file: where to; it is left open.
        schema: of all batches.
    """

    def __init__(self, file: BinaryIO, schema: Any) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd")

    def write(self, group: Sequence[Any]) -> None:
        """Write one group of rows, for use in a thread."""
        table = pa.Table.from_batches(group, self._schema)
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        pa.default_memory_pool().release_unused()  # else what one group took stays beside the next one

    def finish(self) -> None:
        """Write what the file ends with."""
        self._writer.close()

    def abandon(self) -> None:
        """End without caring for what becomes of the file; does nothing after `finish`."""
        try:
            self._writer.close()
        except (OSError, ValueError, pa.ArrowException):
            self._writer.is_open = False  # a full disk: closing it once more, when it is collected, helps nobody


def groups(batches: Iterable[Any]) -> Iterator[list[Any]]:
    """Gather batches until they are as many rows, or bytes, as a group should have: small groups are slow to read."""
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if rows:
        yield group
