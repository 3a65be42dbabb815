"""Data frames as sources of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from dfinery_async.core.fields import HeaderError, Table, read_header
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.records import LineError
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event, Identity
from dfinery_async.runtime.export_tables import need_arrow
from dfinery_async.runtime.taxonomy import standard_taxonomy

__all__ = ["ArrowStream", "frame_events"]


@runtime_checkable
class ArrowStream(Protocol):
    """What gives itself out as a stream of Arrow: frames of Polars and pandas, results of DuckDB, tables of pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule with the stream (Arrow, "PyCapsule Interface")."""
        ...


def frame_events(
    frame: ArrowStream, mapping: TableMapping | Mapping[str, str] | None, taxonomy: Taxonomy | None
) -> Iterator[tuple[Identity, Event]]:
    """Give the rows of a frame as events, read batch by batch.

    Args:
        frame: it is not copied.
        mapping: which column is which field; a plain dict has fields by column. Columns that are called like fields
            need none.
        taxonomy: types of properties; the standard ones by default.

    Raises:
        ConfigError: pyarrow is not installed, or the mapping can't work.
        InvalidInputError: the columns can't be used, at once; or a row can't be sent, which is named, when its turn has
            come.
    """
    need_arrow()
    if mapping is not None and not isinstance(mapping, TableMapping):
        mapping = TableMapping(columns=dict(mapping))
    batches: Any = import_module("dfinery_async.runtime.arrow.frames").frame_batches(frame)
    try:
        table = read_header(batches.columns, "events", taxonomy or standard_taxonomy(), mapping, typed=True)
    except HeaderError as error:
        raise InvalidInputError(str(error), field="source") from None
    return _events(table, batches)


def _events(table: Table, batches: Any) -> Iterator[tuple[Identity, Event]]:
    number = 0
    for rows in batches.rows_of([field.place for field in table.fields]):
        for row in rows:
            number += 1
            try:
                record = table.record(number, row)
            except LineError as error:
                raise InvalidInputError(f"row {number}: {error}", field="source") from None
            assert record.event is not None  # noqa: S101 - a table of events
            yield record.identity, record.event
