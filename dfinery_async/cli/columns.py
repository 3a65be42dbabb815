"""Columns of a CSV file: what each is called, where its cells go, and how their text is read.

Cells of the standard properties have the types that the standard taxonomy gives them (developer guide, "Event" and
"User profile"); the cells of all others are texts. An empty cell is an absent value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from dfinery_async.core.nearest import nearest
from dfinery_async.core.records import Kind, LineError
from dfinery_async.core.taxonomy import DataType
from dfinery_async.redact import safe_text
from dfinery_async.runtime.taxonomy import standard_taxonomy

__all__ = ["Column", "HeaderError", "read_header"]

IDENTITY: Final = ("external_id", "email", "phone_no", "kakao_user_id", "line_user_id")


class HeaderError(Exception):
    """The first line of a CSV file is no header that can be used."""


class Column(msgspec.Struct, frozen=True):
    """One column.

    Attributes:
        title: its name in the header.
        part: the field of the line that its cells belong to: `identity`, `event_name`, `event_properties` and so on.
        name: the name within that field, `""` where the cell is the field itself.
        read: turns a cell's text into a value; raises `LineError`.
    """

    title: str
    part: str
    name: str
    read: Callable[[str], Any]


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


def _items(text: str) -> list[dict[str, Any]]:
    try:
        return _decode_items(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # msgspec lets the last two through
        raise LineError('must be a JSON list of objects, such as [{"df_item_id": "1"}]') from None


_DOUBLE = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_LONG = re.compile(r"[+-]?[0-9]{1,19}")
_decode_items = msgspec.json.Decoder(list[dict[str, Any]]).decode

_Read: TypeAlias = Callable[[str], Any]
_READERS: Final[dict[DataType, _Read]] = {DataType.DOUBLE: _double, DataType.LONG: _long, DataType.BOOLEAN: _boolean}
_PLAIN: Final[dict[Kind, dict[str, _Read]]] = {
    "events": {"event_name": str, "event_datetime": str, "event_items": _items, "event_log_id": str},
    "profiles": {},
    "identities": {},
}
_REQUIRED: Final[dict[Kind, tuple[str, ...]]] = {
    "events": ("event_name", "event_datetime"),
    "profiles": (),
    "identities": (),
}
_PROPERTIES: Final[dict[Kind, str | None]] = {
    "events": "event_properties",
    "profiles": "user_properties",
    "identities": None,
}


def read_header(titles: Sequence[str], kind: Kind) -> list[Column]:
    """Say what the columns of a file hold.

    Raises:
        HeaderError: a column is unknown, missing or there twice, or this is no header at all.
    """
    columns = [_column(title.strip(), kind) for title in titles]
    known = [column for column in columns if column is not None]
    if not known:
        raise HeaderError(_no_header(titles, kind))
    for title, column in zip(titles, columns, strict=True):
        if column is None:
            raise HeaderError(_unknown(title.strip(), kind))
    names = [column.title for column in known]
    for name in names:
        if names.count(name) > 1:
            raise HeaderError(f"the column {safe_text(name)} is there twice")
    for name in _REQUIRED[kind]:
        if name not in names:
            raise HeaderError(f"the column {name} is missing")
    if not any(column.part == "identity" for column in known):
        raise HeaderError(
            f"no column says whose a line is: one of {', '.join(f'identity.{name}' for name in IDENTITY)}"
        )
    if kind == "profiles" and not any(column.part == "user_properties" for column in known):
        raise HeaderError("no column holds a property: they are called user_properties.NAME")
    return known


def _column(title: str, kind: Kind) -> Column | None:
    plain = _PLAIN[kind].get(title)
    if plain is not None:
        return Column(title, title, "", plain)
    part, dot, name = title.partition(".")
    if part == "identity" and name in IDENTITY:
        return Column(title, part, name, str)
    if dot and name and part == _PROPERTIES[kind]:
        return Column(title, part, name, _reader(name))
    return None


def _reader(name: str) -> _Read:
    known = standard_taxonomy().columns.get(name)
    return str if known is None or known.type is None else _READERS.get(known.type, str)


def _names(kind: Kind) -> list[str]:
    part = _PROPERTIES[kind]
    properties = [f"{part}.{name}" for name in standard_taxonomy().columns] if part else []
    return [*(f"identity.{name}" for name in IDENTITY), *_PLAIN[kind], *properties]


def _no_header(titles: Sequence[str], kind: Kind) -> str:
    first = ",".join(titles)
    if first.lower().startswith("sep="):
        return "begins with a sep= line; save it without one, as a plain CSV file with commas"
    if len(titles) == 1 and (";" in first or "\t" in first) and any(name in first for name in _names(kind)):
        return "columns must be parted by commas, not by semicolons or tabs"
    return f"has no header: its first line must name the columns, such as {', '.join(_example(kind))}"


def _example(kind: Kind) -> tuple[str, ...]:
    part = _PROPERTIES[kind]
    return ("identity.external_id", *_REQUIRED[kind], *((f"{part}.NAME",) if part else ()))


def _unknown(title: str, kind: Kind) -> str:
    shown = safe_text(title)[:60]
    hint = nearest(title, _names(kind))
    if not hint and (part := _PROPERTIES[kind]) is not None and "." not in title and title:
        hint = f"; a property's column is called {part}.{shown}"
    return f"unknown column {shown!r}{hint}"
