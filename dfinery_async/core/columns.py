"""Values of an export's columns, typed without a schema.

A CSV holds texts. The standard taxonomy says what its own columns mean, and a taxonomy of the user's what others do.
Of what neither knows, the value itself says what it is, as far as a text can: booleans, lists and datetimes are told
by their form, numbers are not, since an order id `00000001` must stay what it is.

The vendor's samples disagree with each other, so each form that they show is read: `FALSE` and `false`,
`2025.1.6 10:35` and `2025-01-06 10:38:10.036`, `null` and nothing for a list that is not set.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from dfinery_async.core.taxonomy import DataType
from dfinery_async.errors import ExportError
from dfinery_async.redact import safe_text

__all__ = [
    "BARE_LOG_ID",
    "LOG_ID",
    "LOG_ID_FORM",
    "Kinds",
    "RowTyper",
    "bare_log_id",
    "cell_reader",
    "column_that_comes_twice",
    "row_typer",
    "typed_columns",
    "value_kind",
    "wider_kind",
]

Cell: TypeAlias = "str | int | float | bool | dt.datetime | dt.date | list[Any] | None"
"""A typed value."""

RowTyper: TypeAlias = Callable[[list[str]], dict[str, Any]]
"""Makes a row of typed values, by column, of a row of texts."""

Kinds: TypeAlias = Mapping[str, DataType]
"""What columns are known to hold, by their names."""

LOG_ID = "df_event_log_id"
BARE_LOG_ID = "event_log_id"
"""The column that stands beside the exported log id and holds the UUID alone, under the import API's name for it."""
LOG_ID_FORM = r"(?:[0-9]+:)*(?P<id>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
"""An exported log id, with the UUID as the group `id`; in the grammar that Python and RE2 share."""

_NULL = "null"
_LONG = re.compile(r"(-?[0-9]{1,19})(?:\.0+)?")
_DOUBLE = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False}
_LONGEST_BOOLEAN = 5
_CONSTANTS = {"null": None, "true": True, "false": False, "TRUE": True, "FALSE": False, "True": True, "False": False}
_DOTTED = re.compile(r"([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2}) ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_SHORTEST_DATETIME = len("2025.1.6 0:35")
_SHORTEST_ISO = len("2025-01-06 10:38:10")
_LOG_ID = re.compile(LOG_ID_FORM)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_LISTS: dict[DataType | None, Callable[[str], list[Any]]] = {
    DataType.STRINGS: msgspec.json.Decoder(list[str | None]).decode,
    DataType.LONGS: msgspec.json.Decoder(list[int | None]).decode,
    DataType.DOUBLES: msgspec.json.Decoder(list[float | None]).decode,
    None: msgspec.json.Decoder(list[bool | int | float | str | None]).decode,
}
_LONG_BOUND = 2**63


def typed_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that typed rows have: the server's in its order, and the bare log id beside the exported one."""
    names = list(columns)
    if LOG_ID in names and BARE_LOG_ID not in names:
        names.insert(names.index(LOG_ID) + 1, BARE_LOG_ID)
    return tuple(names)


def column_that_comes_twice(columns: Sequence[str]) -> str | None:
    """Return the first name that stands for two columns, so that neither a row nor a table could hold both."""
    return next((name for name, count in Counter(columns).items() if count > 1), None)


def row_typer(columns: Sequence[str], zone: dt.tzinfo, kinds: Kinds) -> RowTyper:
    """Return a function that types rows of these columns. Rows keep the server's names and order of columns.

    Empty cells are `None` in every column. Then, by column:

    * String: the text, `null` included.
    * Long, Double, Boolean, Datetime, Date, lists: the value, and `null` is `None`. A text that is none stays text: one
      odd cell must not cost an export of millions.
    * Columns that nobody knows: `true` and `false` in any case, lists from JSON text, datetimes in the three known
      forms; `null` and empty lists are `None`; all else stays text, numbers too.
    * `df_event_log_id`: the text, and its UUID in `event_log_id` beside it.

    Args:
        columns: names as the header has them.
        zone: time zone of datetimes that are written without one.
        kinds: what columns hold.

    Raises:
        ExportError: two columns have the same name, so that a row could not hold both.
    """
    names = typed_columns(columns)
    if (twice := column_that_comes_twice(columns)) is not None:
        raise ExportError(f"the column {safe_text(twice)!r} comes twice")
    typed = [
        (index, read) for index, name in enumerate(columns) if (read := cell_reader(kinds.get(name), zone)) is not None
    ]
    log_id = columns.index(LOG_ID) if len(names) > len(columns) else None

    def type_row(row: list[str]) -> dict[str, Any]:
        values: list[Any] = [text or None for text in row]
        for index, read in typed:
            if (text := values[index]) is not None:
                values[index] = read(text)
        if log_id is not None:
            values.insert(log_id + 1, bare_log_id(row[log_id]))
        return dict(zip(names, values, strict=True))

    return type_row


def value_kind(value: Cell) -> DataType | None:
    """Return the kind that a value read from a column of unknown kind speaks for; `None` where it says nothing."""
    match value:
        case None:
            return None
        case bool():
            return DataType.BOOLEAN
        case dt.datetime():
            return DataType.DATETIME
        case list():
            kinds: set[type[Any]] = {type(each) for each in value if each is not None}
            if kinds <= {int} and all(-_LONG_BOUND <= each < _LONG_BOUND for each in value if each is not None):
                return DataType.LONGS
            return (
                DataType.DOUBLES if kinds <= {int, float} else DataType.STRINGS if kinds <= {str} else DataType.STRING
            )
        case _:
            return DataType.STRING


def wider_kind(one: DataType | None, other: DataType | None) -> DataType | None:
    """Return the kind that holds what two parts of a column hold: text, where they have no other in common."""
    if one is None or one is other:
        return other
    if other is None:
        return one
    return DataType.DOUBLES if {one, other} == {DataType.LONGS, DataType.DOUBLES} else DataType.STRING


def bare_log_id(log_id: str) -> str | None:
    """Return the UUID of an exported `df_event_log_id`, lower-case, or `None` where there is none.

    Exports put the time of arrival in milliseconds before it, once or twice: `1736127490036:30873a05-…`. The UUID
    is what `Event.log_id` was.
    """
    match = _LOG_ID.fullmatch(log_id)
    return None if match is None else match[1].lower()


def cell_reader(kind: DataType | None, zone: dt.tzinfo) -> Callable[[str], Cell] | None:
    """Return what reads a cell that is not empty; `None` where it is the text itself.

    A reader gives a text back that is not of its kind.
    """

    def read_datetime(text: str) -> Cell:
        if text == _NULL:
            return None
        return _datetime(text, zone) or text

    def infer(text: str) -> Cell:
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        first = text[0]
        if first in "0123456789":
            if len(text) < _SHORTEST_DATETIME:
                return text
            return _datetime(text, zone) or text
        if first in "tTfF" and len(text) <= _LONGEST_BOOLEAN:
            return _BOOLEANS.get(text.lower(), text)
        if first == "[":
            return _list(text, None)
        return text

    readers: dict[DataType | None, Callable[[str], Cell]] = {
        DataType.LONG: _long,
        DataType.DOUBLE: _double,
        DataType.BOOLEAN: _boolean,
        DataType.DATE: _date,
        DataType.DATETIME: read_datetime,
        None: infer,
    }
    if kind is DataType.STRING:
        return None
    return readers.get(kind) or functools.partial(_list, kind=kind)


def _long(text: str) -> Cell:
    match = _LONG.fullmatch(text)
    if match is not None:
        return int(match[1])
    return None if text == _NULL else text


def _double(text: str) -> Cell:
    if _DOUBLE.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    return None if text == _NULL else text


def _boolean(text: str) -> Cell:
    return None if text == _NULL else _BOOLEANS.get(text.lower(), text)


def _date(text: str) -> Cell:
    if text == _NULL:
        return None
    try:
        return dt.date.fromisoformat(text) if _DATE.fullmatch(text) else text
    except ValueError:  # the form of a date, but no such day
        return text


def _list(text: str, kind: DataType | None) -> Cell:
    """Read a flat list from JSON text. Anything else is text."""
    if text == _NULL:
        return None
    try:
        return _LISTS[kind](text) or None
    except (msgspec.MsgspecError, RecursionError):
        return text


def _datetime(text: str, zone: dt.tzinfo) -> dt.datetime | None:
    try:
        # fromisoformat reads more than we take for a datetime, such as weeks, or any character between day and time.
        if (
            len(text) >= _SHORTEST_ISO
            and text[4] == text[7] == "-"
            and text[13] == text[16] == ":"
            and text[10] in " T"
        ):
            moment = dt.datetime.fromisoformat(text)
            # combine() costs a quarter of replace(tzinfo=…), and most datetimes of an export pass here.
            return moment if moment.tzinfo is not None else dt.datetime.combine(moment, moment.time(), zone)
        if match := _DOTTED.fullmatch(text):
            year, month, day, hour, minute, second = map(int, match.groups("0"))
            return dt.datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:  # the form of a datetime, but no such day or time
        pass
    return None
