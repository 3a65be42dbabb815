"""Rows of tables as engines hand them over, dict by dict, as lines of an events file.

An absent value is `null` in a table, so `null` means absent here. A table that knows no nested values has columns with
dotted names, as a CSV file does, or texts of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dfinery_async.core.cells import id_of, items_of, object_of
from dfinery_async.core.records import LineError

__all__ = ["line_of"]

_OBJECTS: Final = {"identity", "event_properties", "user_properties"}


def line_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line that a table's row says: nested, without nulls, and ids of users as text.

    A column may be called `event_properties.df_price`; properties may be a struct, a map, or a text of JSON; items a
    list of structs, or a text of JSON. What else is wrong is left to be found when the line is checked.

    Raises:
        LineError: a value can't be what its column says.
    """
    if not isinstance(row, Mapping):
        raise LineError(f"a row must be a dict, not {type(row).__name__}")
    line: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        part, dot, inner = name.partition(".")
        if dot and part in _OBJECTS:
            line.setdefault(part, {})[inner] = _read(id_of, value, name) if part == "identity" else value
        elif name == "identity":
            line[name] = _user(value)
        elif name in _OBJECTS:
            line[name] = _read(object_of, value, name)
        elif name == "event_items":
            line[name] = _read(items_of, value, name)
        else:
            line[name] = value
    return line


def _user(value: Any) -> Any:
    """An identity, or the `external_id` alone."""
    if isinstance(value, str | int):
        return _read(id_of, value, "identity")
    ids: dict[str, Any] = _read(object_of, value, "identity")
    return {name: _read(id_of, each, f"identity.{name}") for name, each in ids.items()}


def _read(reader: Callable[[Any], Any], value: Any, name: str) -> Any:
    try:
        return reader(value)
    except LineError as error:
        raise LineError(error.reason, name) from None
