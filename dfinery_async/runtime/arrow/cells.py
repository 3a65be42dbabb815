"""Columns of texts made columns of values.

Most cells take pyarrow's own way, a column at a time. What it can't read, or would read otherwise, goes through the
reader that single rows go through, each different text once: so a table and rows say the same.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from dfinery_async.core.columns import LOG_ID_FORM, cell_reader, value_kind, wider_kind
from dfinery_async.core.taxonomy import DataType
from dfinery_async.runtime.arrow import pa, pc

__all__ = ["Misfit", "arrow_type", "bare_log_ids", "inferred_kind", "typed", "without_null_words"]


class Misfit(Exception):
    """A text in a column is no value of the column's kind.

    Attributes:
        row: its place in the column.
    """

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


_ID_LENGTH = 36

_TYPES = {
    DataType.STRING: pa.string(),
    DataType.LONG: pa.int64(),
    DataType.DOUBLE: pa.float64(),
    DataType.BOOLEAN: pa.bool_(),
    DataType.DATE: pa.date32(),
    DataType.STRINGS: pa.list_(pa.string()),
    DataType.LONGS: pa.list_(pa.int64()),
    DataType.DOUBLES: pa.list_(pa.float64()),
}


def arrow_type(kind: DataType, zone: dt.tzinfo) -> Any:
    """Return the type of a column. Datetimes have the precision of Python's, and the zone that their texts are in."""
    return pa.timestamp("us", tz=_zone_name(zone)) if kind is DataType.DATETIME else _TYPES[kind]


def typed(texts: Any, kind: DataType, zone: dt.tzinfo) -> Any:
    """Make a column of values out of one of texts, in which what is empty is null.

    Raises:
        Misfit: a text is no value of this kind.
    """
    if kind in {DataType.STRING, None}:
        return texts
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), arrow_type(kind, zone))
    quick = _quickly(texts, kind, zone)
    return _slowly(texts, kind, zone) if quick is None else quick


def bare_log_ids(texts: Any) -> Any:
    """Return the UUIDs of exported log ids, null where there is none."""
    # The form is looked at without its groups, and the id cut off by its length: a quarter of the time.
    fits = pc.match_substring_regex(texts, f"^{LOG_ID_FORM.replace('(?P<id>', '(?:')}$")
    ids = pc.binary_slice(texts.cast(pa.binary()), -_ID_LENGTH)
    return pc.ascii_lower(pc.if_else(fits, ids, pa.scalar(None, pa.binary())).cast(pa.string()))


def without_null_words(texts: Any) -> Any:
    """Return texts with nulls for the word `null`, which is what a list that is not set looks like."""
    return pc.if_else(pc.equal(texts, "null"), pa.scalar(None, pa.string()), texts)


def inferred_kind(texts: Any, zone: dt.tzinfo, known: DataType | None) -> DataType | None:
    """Return the kind that holds these texts and those before them, of which `known` is the kind.

    Told by the form of every text; a text among values makes the column one of texts. `None` is nothing but nulls.
    """
    if known is DataType.STRING or texts.null_count == len(texts):
        return known
    if known in {DataType.BOOLEAN, DataType.DATETIME} and _quickly(texts, known, zone) is not None:
        return known
    read = cell_reader(None, zone)
    assert read is not None  # noqa: S101 - only texts have none
    first = value_kind(read(texts.drop_null()[0].as_py()))
    if first is DataType.STRING:
        return DataType.STRING
    if known is None and first in {DataType.BOOLEAN, DataType.DATETIME} and _quickly(texts, first, zone) is not None:
        return first
    for text in texts.unique().drop_null().to_pylist():
        known = wider_kind(known, value_kind(read(text)))
        if known is DataType.STRING:
            break
    return known


def _quickly(texts: Any, kind: DataType, zone: dt.tzinfo) -> Any:
    """Read a column in pyarrow's way; `None` where it can't, or reads what we don't."""
    try:
        match kind:
            case DataType.LONG:
                return texts.cast(pa.int64())
            case DataType.DOUBLE:
                values = texts.cast(pa.float64())
                return values if pc.all(pc.is_finite(values)).as_py() is not False else None
            case DataType.BOOLEAN:
                lower = pc.ascii_lower(texts)
                true = pc.equal(lower, "true")
                return true if pc.all(pc.or_(true, pc.equal(lower, "false"))).as_py() is not False else None
            case DataType.DATETIME:
                return _datetimes(texts, zone)
            case _:
                return None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError):
        return None


def _datetimes(texts: Any, zone: dt.tzinfo) -> Any:
    # pyarrow also takes days without a time, and times without seconds; rows don't.
    if pc.min(pc.binary_length(texts)).as_py() < len("2025-01-06 10:38:10"):
        return None
    local = texts.cast(pa.timestamp("us"))
    name = _zone_name(zone)
    if isinstance(zone, ZoneInfo):
        return pc.assume_timezone(local, name, ambiguous="earliest", nonexistent="raise")
    offset = zone.utcoffset(None)
    if offset is None:
        return None
    return pc.subtract(local, pa.scalar(offset, pa.duration("us"))).cast(pa.timestamp("us", tz=name))


def _slowly(texts: Any, kind: DataType, zone: dt.tzinfo) -> Any:
    read = cell_reader(kind, zone)
    assert read is not None  # noqa: S101 - only texts have none
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    values = [read(text) for text in distinct]
    for place, value in enumerate(values):
        if isinstance(value, str):
            raise Misfit(pc.index(texts, distinct[place]).as_py())
    try:
        return pa.array(values, arrow_type(kind, zone)).take(encoded.indices)
    except (pa.ArrowInvalid, OverflowError):  # a number that has no room in a Long
        row = next(row for row, value in enumerate(values) if not _fits(value, kind, zone))
        raise Misfit(pc.index(texts, distinct[row]).as_py()) from None


def _fits(value: Any, kind: DataType, zone: dt.tzinfo) -> bool:
    try:
        pa.scalar(value, arrow_type(kind, zone))
    except (pa.ArrowInvalid, OverflowError):
        return False
    return True


def _zone_name(zone: dt.tzinfo) -> str:
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    offset = zone.utcoffset(None)
    if offset is None:
        return "UTC"  # the moments stay the same
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
