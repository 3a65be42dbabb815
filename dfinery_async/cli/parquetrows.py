"""Reading Parquet, row by row, as lines of a text are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, BinaryIO

from dfinery_async.core.fields import Table, read_header
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.records import BadLine, Kind, LineError, Record, check_registered
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.runtime.export_tables import need_arrow
from dfinery_async.runtime.taxonomy import standard_taxonomy

__all__ = ["ParquetRows"]


class ParquetRows:
    """The rows of a file, as records and bad lines.

    Args:
        file: where it is; it can be sought in.
        kind: what it holds.
        mapping: what its columns are.
        taxonomy: what is registered; by default it is not asked, and the standard properties have their types.

    Attributes:
        table: what the columns hold.

    Raises:
        ConfigError: pyarrow is not installed.
        HeaderError: the columns can't be used.
        InvalidInputError: it is no Parquet.
    """

    def __init__(self, file: BinaryIO, kind: Kind, mapping: TableMapping | None, taxonomy: Taxonomy | None) -> None:
        need_arrow()
        self._registered = taxonomy
        self._batches: Any = import_module("dfinery_async.runtime.arrow.frames").open_parquet(file)
        self.table: Table = read_header(
            self._batches.columns, kind, taxonomy or standard_taxonomy(), mapping, typed=True
        )

    def blocks(self) -> Iterator[tuple[float, Iterator[Record | BadLine]]]:
        """Give the rows some thousands at a time, with how much of the file they are the end of, from 0 to 1.

        Raises:
            InvalidInputError: the file can't be read any further.
        """
        before = 0
        for rows in self._batches.rows_of([field.place for field in self.table.fields]):
            after = before + len(rows)
            yield after / max(1, self._batches.rows), self._records(before, rows)
            before = after

    def _records(self, before: int, rows: Sequence[Sequence[Any]]) -> Iterator[Record | BadLine]:
        for number, row in enumerate(rows, before + 1):
            try:
                record = self.table.record(number, row)
                if self._registered is not None:
                    check_registered(record, self._registered)
                yield record
            except LineError as error:
                yield BadLine(number, error.reason, error.field, content=self.table.as_written(row))
