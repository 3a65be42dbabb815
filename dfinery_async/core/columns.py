"""Values of an export's columns, typed without a schema.

A CSV holds texts. The standard taxonomy says what its own columns mean; the value itself says what a column of the
user's own means, as far as a text can: booleans, lists and datetimes are told by their form, numbers are not, since
an order id `00000001` must stay what it is.

The vendor's samples disagree with each other, so each form that they show is read: `FALSE` and `false`,
`2025.1.6 10:35` and `2025-01-06 10:38:10.036`, `null` and nothing for a list that is not set.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from dfinery_async.errors import ExportError

__all__ = ["KNOWN_COLUMNS", "Kind", "RowTyper", "bare_log_id", "column_kind", "row_typer"]

Cell: TypeAlias = "str | int | float | bool | dt.datetime | list[str | int | float | bool | None] | None"
"""A typed value."""

RowTyper: TypeAlias = Callable[[list[str]], dict[str, Any]]
"""Makes a row of typed values, by column, of a row of texts."""


class Kind(enum.Enum):
    """What a column holds (API guide, "Data Type")."""

    STRING = "String"
    LONG = "Long"
    DOUBLE = "Double"
    BOOLEAN = "Boolean"
    DATETIME = "Datetime"
    UNKNOWN = "unknown"
    """A column of the user's own: each value says what it is."""


_EVENT_PROPERTIES = {
    "df_order_id": Kind.STRING,
    "df_payment_method": Kind.STRING,
    "df_total_purchase_amount": Kind.DOUBLE,
    "df_delivery_charge": Kind.DOUBLE,
    "df_discount": Kind.DOUBLE,
    "df_total_refund_amount": Kind.DOUBLE,
    "df_sharing_channel": Kind.STRING,
    "df_sign_channel": Kind.STRING,
    "df_keyword": Kind.STRING,
    "df_session_interval": Kind.LONG,
    "df_session_length": Kind.LONG,
}
_ITEM_PROPERTIES = {
    "df_item_id": Kind.STRING,
    "df_item_name": Kind.STRING,
    "df_price": Kind.DOUBLE,
    "df_quantity": Kind.LONG,
    "df_discount": Kind.DOUBLE,
    "df_category1": Kind.STRING,
    "df_category2": Kind.STRING,
    "df_category3": Kind.STRING,
    "df_category4": Kind.STRING,
    "df_category5": Kind.STRING,
}
_USER_PROPERTIES = {
    "df_name": Kind.STRING,
    "df_gender": Kind.STRING,
    "df_birth": Kind.STRING,  # a text yyyy-MM-dd
    "df_membership": Kind.STRING,
    "df_push_optin": Kind.BOOLEAN,
    "df_push_ads_optin": Kind.BOOLEAN,
    "df_sms_ads_optin": Kind.BOOLEAN,
    "df_kakao_ads_optin": Kind.BOOLEAN,
    "df_push_night_ads_optin": Kind.BOOLEAN,
}
_SYSTEM_COLUMNS = {
    "df_unified_id": Kind.STRING,
    "df_external_id": Kind.STRING,
    "df_api_version": Kind.STRING,
    "df_event_name": Kind.STRING,
    "event_name": Kind.STRING,  # the page's name for what its sample calls df_event_name
    "df_event_datetime": Kind.DATETIME,
    "df_server_datetime": Kind.DATETIME,
    "df_correction_datetime": Kind.DATETIME,
    "df_event_log_id": Kind.STRING,
    "df_event_detail_log_id": Kind.STRING,
    "df_service_id": Kind.STRING,
    "df_source_type": Kind.STRING,
}

KNOWN_COLUMNS: Mapping[str, Kind] = {
    **_EVENT_PROPERTIES,
    **{f"df_items_{name}": kind for name, kind in _ITEM_PROPERTIES.items()},
    **_USER_PROPERTIES,
    **_SYSTEM_COLUMNS,
}
"""The columns of the standard taxonomy, and the export's own (API guide, "Extracting an event")."""

_NULL = "null"
_LONG = re.compile(r"(-?[0-9]{1,19})(?:\.0+)?")
_DOUBLE = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?")
_BOOLEANS = {"true": True, "false": False}
_LONGEST_BOOLEAN = 5
_CONSTANTS = {"null": None, "true": True, "false": False, "TRUE": True, "FALSE": False, "True": True, "False": False}
_DOTTED = re.compile(r"([0-9]{4})\.([0-9]{1,2})\.([0-9]{1,2}) ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_SHORTEST_DATETIME = len("2025.1.6 0:35")
_SHORTEST_ISO = len("2025-01-06 10:38:10")
_LOG_ID = re.compile(r"(?:[0-9]+:)*([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})")

_decode_list = msgspec.json.Decoder(list[bool | int | float | str | None]).decode


def column_kind(name: str) -> Kind:
    """Return what a column holds as far as its name tells."""
    return KNOWN_COLUMNS.get(name, Kind.UNKNOWN)


def row_typer(columns: Sequence[str], zone: dt.tzinfo) -> RowTyper:
    """Return a function that types rows of these columns. Rows keep the server's names and order of columns.

    Empty cells are `None` in every column. Then, by column:

    * String: the text, `null` included.
    * Long, Double, Boolean, Datetime: the value, and `null` is `None`. A text that is none stays text: one odd cell
      must not cost an export of millions.
    * Columns that the taxonomy does not know: `true` and `false` in any case, lists from JSON text, datetimes in the
      three known forms; `null` and empty lists are `None`; all else stays text, numbers too.

    Args:
        columns: names as the header has them.
        zone: time zone of datetimes that are written without one.

    Raises:
        ExportError: two columns have the same name, so that a row could not hold both.
    """
    names = tuple(columns)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ExportError(f"the column {twice[0]!r} comes twice")
    readers = _readers(zone)
    typed = tuple((index, readers[kind]) for index, name in enumerate(names) if (kind := column_kind(name)) in readers)

    def type_row(row: list[str]) -> dict[str, Any]:
        values: list[Any] = [text or None for text in row]
        for index, read in typed:
            if (text := values[index]) is not None:
                values[index] = read(text)
        return dict(zip(names, values, strict=True))

    return type_row


def bare_log_id(log_id: str) -> str | None:
    """Return the UUID of an exported `df_event_log_id`, lower-case, or `None` where there is none.

    Exports put the time of arrival in milliseconds before it, once or twice: `1736127490036:30873a05-…`. The UUID
    is what `Event.log_id` was.
    """
    match = _LOG_ID.fullmatch(log_id)
    return None if match is None else match[1].lower()


def _readers(zone: dt.tzinfo) -> dict[Kind, Callable[[str], Cell]]:
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
            return _list(text)
        return text

    return {
        Kind.LONG: _long,
        Kind.DOUBLE: _double,
        Kind.BOOLEAN: _boolean,
        Kind.DATETIME: read_datetime,
        Kind.UNKNOWN: infer,
    }


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


def _list(text: str) -> Cell:
    """Read a flat list from JSON text. Anything else that begins with a bracket is text."""
    try:
        return _decode_list(text) or None
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
