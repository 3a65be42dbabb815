"""An answer's rows as columns of texts, on disk until all of it is there and known to be whole.

What a column of the user's own holds can only be told when its last cell has been seen, and a table has one type for
each column. So texts are kept aside, and become values when the export is complete.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from dfinery_async.core.columns import LOG_ID, Kinds, typed_columns, wider_kind
from dfinery_async.core.csv_rows import CsvRows, Header
from dfinery_async.core.taxonomy import DataType
from dfinery_async.errors import ExportError
from dfinery_async.redact import safe_text
from dfinery_async.runtime.arrow import pa, pcsv
from dfinery_async.runtime.arrow.cells import Misfit, arrow_type, bare_log_ids, inferred_kind, typed, without_null_words

__all__ = ["TextTable", "TypedTables"]


class TextTable:
    """Columns of texts in a file.

    Args:
        header: their names, no two the same.
        zone: time zone of datetimes that are written without one.
        unknown: places of columns whose kind nobody knows.
        file: where it is kept; closed with the table.

    Attributes:
        rows: in it so far.
        kinds: what the cells of the unknown columns are, by place; `None` where all are empty so far.
    """

    def __init__(self, header: Header, zone: dt.tzinfo, unknown: Sequence[int], file: BinaryIO) -> None:
        self.rows: int = 0
        self.kinds: dict[int, DataType | None] = dict.fromkeys(unknown)
        self._zone = zone
        self._file = file
        self._secrets = header.secrets
        self._schema = pa.schema([(name, pa.string()) for name in header.columns])
        self._sink = pa.PythonFile(file, mode="w")
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, block: bytes, records: int) -> None:
        """Take whole records; for use in a thread.

        Args:
            block: their bytes.
            records: how many they are; blank lines count.

        Raises:
            ExportError: they are no CSV; `ExportInterrupted` where the answer broke off.
        """
        batch = self._parse(block)
        if batch is None or batch.num_rows != records:
            batch = self._parse_strictly(block)
        for place, kind in self.kinds.items():
            self.kinds[place] = inferred_kind(batch.column(place), self._zone, kind)
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def finish(self) -> None:
        """End the writing."""
        self._writer.close()
        self._file.flush()

    def batches(self) -> Iterator[Any]:
        """Read all of it from the beginning."""
        self._file.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(self._file, mode="r")) as reader:
            yield from reader

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _parse(self, block: bytes) -> Any:
        """Parse in pyarrow's way, which is quick and says little of what is wrong."""
        names = self._schema.names
        try:
            table = pcsv.read_csv(
                pa.BufferReader(block),
                read_options=pcsv.ReadOptions(column_names=names, block_size=len(block) + 1),
                parse_options=pcsv.ParseOptions(newlines_in_values=b'"' in block, ignore_empty_lines=len(names) > 1),
                convert_options=pcsv.ConvertOptions(
                    column_types=self._schema, null_values=[""], strings_can_be_null=True
                ),
            )
        except pa.ArrowInvalid:
            return None
        batches = table.to_batches()
        return batches[0] if len(batches) == 1 else None

    def _parse_strictly(self, block: bytes) -> Any:
        """Parse as rows are parsed. That is the measure; it also leaves out blank lines, and says what is wrong."""
        rows = CsvRows(len(self._schema.names), before=self.rows, secrets=self._secrets)
        parsed = [*rows.feed(block), *rows.finish()]
        columns = (([row[place] or None for row in parsed]) for place in range(len(self._schema.names)))
        arrays = [pa.array(column, pa.string()) for column in columns]
        return pa.record_batch(arrays, schema=self._schema)


class TypedTables:
    """The typed rows of one or more answers with the same columns.

    Args:
        columns: names, as the server wrote them.
        zone: time zone of datetimes that are written without one.
        kinds: what columns are known to hold.
        tables: the answers, in order.

    Attributes:
        schema: of all batches.
    """

    def __init__(self, columns: Sequence[str], zone: dt.tzinfo, kinds: Kinds, tables: Sequence[TextTable]) -> None:
        self._zone = zone
        self._tables = tables
        self._kinds: list[DataType] = []
        self._inferred_texts: set[int] = set()
        for place, name in enumerate(columns):
            kind: DataType | None = kinds.get(name, None)
            if kind is None:
                kind = None
                for table in tables:
                    kind = wider_kind(kind, table.kinds[place])
            self._kinds.append(kind or DataType.STRING)
            if name not in kinds and self._kinds[place] is DataType.STRING:
                self._inferred_texts.add(place)
        self._names = typed_columns(columns)
        self._log_id = columns.index(LOG_ID) if len(self._names) > len(columns) else None
        types = [arrow_type(kind, zone) for kind in self._kinds]
        if self._log_id is not None:
            types.insert(self._log_id + 1, pa.string())
        self.schema: Any = pa.schema(list(zip(self._names, types, strict=True)))

    def batches(self) -> Iterator[Any]:
        """Give the rows in order, some thousands at a time.

        Raises:
            ExportError: a cell is no value of the kind that its column is known to hold.
        """
        before = 0
        for table in self._tables:
            for batch in table.batches():
                yield self._typed(batch, before)
                before += batch.num_rows

    def table(self) -> Any:
        """Return all rows at once; raises as `batches` does."""
        return pa.Table.from_batches(list(self.batches()), self.schema)

    def _typed(self, batch: Any, before: int) -> Any:
        columns: list[Any] = []
        for place, (texts, kind) in enumerate(zip(batch.columns, self._kinds, strict=True)):
            try:
                column = typed(texts, kind, self._zone)
                columns.append(without_null_words(column) if place in self._inferred_texts else column)
            except Misfit as misfit:
                name = safe_text(batch.schema.names[place])
                raise ExportError(
                    f"row {before + misfit.row + 1}, column {name!r}: the cell is no {kind.value}; "
                    "give a taxonomy that calls the column a String, or take rows, which keep such a cell as text"
                ) from None
            if place == self._log_id:
                columns.append(bare_log_ids(texts))
        return pa.record_batch(columns, schema=self.schema)
