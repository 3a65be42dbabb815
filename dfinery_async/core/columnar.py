"""Rows of tables, which have all columns in every row, as lines of an events file.

An absent value is `null` in a table, so `null` means absent here. A table that knows no nested values has columns with
dotted names, as a CSV file does, or texts of JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from dfinery_async.core.records import LineError

__all__ = ["line_of"]

_OBJECTS: Final = ("identity", "event_properties", "user_properties")
_LISTS: Final = ("event_items",)
_decode = msgspec.json.Decoder().decode


def line_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line that a table's row says: nested, without nulls.

    A column may be called `event_properties.df_price`; properties may be a struct, a map, or a text of JSON; items a
    list of structs, or a text of JSON. What is wrong with a value is left to be found when the line is checked.

    Raises:
        LineError: a text is no JSON.
    """
    line: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        part, dot, inner = name.partition(".")
        if dot and part in _OBJECTS:
            line.setdefault(part, {})[inner] = value
        elif name in _OBJECTS:
            line[name] = _object(value, name)
        elif name in _LISTS:
            line[name] = _list(value, name)
        else:
            line[name] = value
    return line


def _object(value: Any, name: str) -> Any:
    if isinstance(value, str) and name != "identity":  # a plain identity is an external id
        value = _from_json(value, name)
    elif isinstance(value, list):  # Arrow's way to give out a map
        try:
            value = dict(cast("Iterable[Any]", value))
        except (TypeError, ValueError):
            return cast("object", value)
    if isinstance(value, Mapping):
        items = cast("Iterable[tuple[Any, Any]]", value.items())
        return {key: each for key, each in items if each is not None}
    return value


def _list(value: Any, name: str) -> Any:
    if isinstance(value, str):
        value = _from_json(value, name)
    if isinstance(value, list | tuple):
        return [_object(each, name) for each in cast("Iterable[Any]", value)]
    return value


def _from_json(text: str, name: str) -> Any:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # msgspec lets the last two through
        raise LineError("is a text that is not valid JSON", name) from None
