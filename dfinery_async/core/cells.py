"""Single cells of a table that becomes events: texts, and values of typed tables."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import msgspec

from dfinery_async.core.records import LineError
from dfinery_async.core.taxonomy import DataType

__all__ = ["TEXT_READERS", "CellReader", "id_of", "items_of", "object_of", "text_of", "zoned"]

CellReader: TypeAlias = Callable[[Any], Any]
"""Turns a cell into a value; raises `LineError`."""


def zoned(moment: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a moment with a time zone: its own, or this one."""
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise LineError("has no time zone; name one in the mapping, or with --zone")
    return moment.replace(tzinfo=zone)


def text_of(cell: Any) -> str:
    """Read a name or a log id."""
    if not isinstance(cell, str):
        raise LineError("must be text")
    return cell


def id_of(cell: Any) -> str:
    """Read an id of a user, which tables often hold as a number."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if not isinstance(cell, str):
        raise LineError("must be text, or a whole number")
    return cell


def object_of(cell: Any) -> dict[str, Any]:
    """Read a column of objects, as Parquet has them, or of their JSON text; what is null in one is absent."""
    if isinstance(cell, str):
        try:
            cell = _decode_object(cell)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise LineError('must be a JSON object, such as {"external_id": "u1"}') from None
    if isinstance(cell, list) and all(isinstance(pair, tuple) for pair in cast("list[object]", cell)):
        cell = dict(cast("list[tuple[str, Any]]", cell))  # Arrow's maps
    if not isinstance(cell, dict):
        raise LineError("must be an object")
    return {name: value for name, value in cast("dict[str, Any]", cell).items() if value is not None}


def items_of(cell: Any) -> list[dict[str, Any]]:
    """Read a list of items, or its JSON text."""
    if isinstance(cell, list):
        return [object_of(item) for item in cast("list[object]", cell)]
    try:
        return _decode_items(cell)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError):  # msgspec lets the last ones through
        raise LineError('must be a JSON list of objects, such as [{"df_item_id": "1"}]') from None


def _double(text: str) -> float:
    if _DOUBLE.fullmatch(text) is None:
        raise LineError("must be a number such as 12.5; thousands are not parted")
    return float(text)


def _long(text: str) -> int:
    if _LONG.fullmatch(text) is None:
        raise LineError("must be a whole number")
    return int(text)


def _boolean(text: str) -> bool:
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        raise LineError("must be true or false")
    return value


def _list_of(kind: type[Any], what: str) -> CellReader:
    decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]

    def read(text: str) -> Any:
        try:
            return decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise LineError(f"must be a JSON list of {what}") from None

    return read


_DOUBLE = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_LONG = re.compile(r"[+-]?[0-9]{1,19}")
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_items = msgspec.json.Decoder(list[dict[str, Any]]).decode
TEXT_READERS: Final[dict[DataType, CellReader]] = {
    DataType.DOUBLE: _double,
    DataType.LONG: _long,
    DataType.BOOLEAN: _boolean,
    DataType.STRINGS: _list_of(str, "texts"),
    DataType.LONGS: _list_of(int, "whole numbers"),
    DataType.DOUBLES: _list_of(float, "numbers"),
}
