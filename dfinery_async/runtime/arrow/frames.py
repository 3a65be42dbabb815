"""Rows of tables that others made: data frames, and files of Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from dfinery_async.errors import InvalidInputError
from dfinery_async.redact import safe_text
from dfinery_async.runtime.arrow import pa, pq

__all__ = ["Batches", "frame_batches", "open_parquet"]

_ROWS = 8192
_CHUNK_BYTES = 1024 * 1024 * 1024
"""Bytes that one column of a row group may have when it is unpacked: a whole page of it is in memory at once."""


class Batches:
    """Rows of a table, some thousands at a time.

    Attributes:
        columns: names.
        rows: how many there are; `None` where nobody knows.
    """

    def __init__(self, columns: Sequence[str], rows: int | None, batches: Iterator[Any]) -> None:
        self.columns: tuple[str, ...] = tuple(columns)
        self.rows: int | None = rows
        self._batches = batches

    def rows_of(self, places: Sequence[int]) -> Iterator[list[tuple[Any, ...]]]:
        """Give the rows, each with the cells of all columns; of those that are not asked for, cells are `None`.

        Raises:
            InvalidInputError: the table can't be read any further.
        """
        wanted = set(places)
        while True:
            try:
                batch = next(self._batches, None)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise InvalidInputError(f"can't be read: {_first_line(error)}", field="source") from None
            if batch is None:
                return
            for start in range(0, batch.num_rows, _ROWS):
                part = batch.slice(start, _ROWS)
                nothing = [None] * part.num_rows
                columns = [_values(part.column(n)) if n in wanted else nothing for n in range(len(self.columns))]
                yield list(zip(*columns, strict=True))


def frame_batches(frame: Any) -> Batches:
    """Look at anything with `__arrow_c_stream__`: a frame of Polars or pandas, a result of DuckDB, a pyarrow table.

    Its columns are not copied; it is read batch by batch.
    """
    reader = pa.RecordBatchReader.from_stream(frame)
    return Batches(reader.schema.names, None, iter(reader))


def open_parquet(file: BinaryIO) -> Batches:
    """Look at a file of Parquet.

    Raises:
        InvalidInputError: it is none, or needs too much memory.
    """
    try:
        parquet = pq.ParquetFile(file)
        metadata = parquet.metadata
        largest = max(
            (
                metadata.row_group(group).column(column).total_uncompressed_size
                for group in range(metadata.num_row_groups)
                for column in range(metadata.num_columns)
            ),
            default=0,
        )
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"is no Parquet that can be read: {_first_line(error)}", field="source") from None
    if largest > _CHUNK_BYTES:
        raise InvalidInputError(
            "has a column of more than 1 GiB in one row group; write it with smaller row groups", field="source"
        )
    return Batches(parquet.schema_arrow.names, metadata.num_rows, parquet.iter_batches(batch_size=_ROWS))


def _values(column: Any) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)  # Python has no nanoseconds
    values: list[Any] = column.to_pylist()
    return values


def _first_line(error: Exception) -> str:
    return safe_text(str(error).partition("\n")[0])
