"""Columns of a table: which field each one is, how its cells are read, and what a row of them becomes.

Cells of the properties that the taxonomy knows have the types that it gives them; in a text, the cells of all others
are texts. An empty cell is an absent value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from dfinery_async.core.cells import TEXT_READERS, CellReader, id_of, items_of, object_of, text_of, zoned
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.nearest import nearest
from dfinery_async.core.records import (
    Kind,
    LineError,
    Place,
    Record,
    event_record,
    identity_record,
    profile_record,
)
from dfinery_async.core.taxonomy import DataType, Properties, Taxonomy
from dfinery_async.redact import safe_text

__all__ = ["IDENTITY", "Field", "HeaderError", "Table", "field_names", "read_header"]

IDENTITY: Final = ("external_id", "email", "phone_no", "kakao_user_id", "line_user_id")
_NO_MAPPING: Final = TableMapping()


class HeaderError(Exception):
    """The columns of a table can't be used."""


class Field(msgspec.Struct, frozen=True):
    """One column that is used.

    Attributes:
        place: its number in the table, from 0.
        title: its name there.
        part: the field of the line that its cells belong to: `identity`, `event_name`, `event_properties` and so on.
        name: the name within that field, `""` where the cell is the field itself.
        read: turns a cell into a value; raises `LineError`.
    """

    place: int
    title: str
    part: str
    name: str
    read: Callable[[Any], Any]


class Table:
    """What the rows of a table become.

    Attributes:
        fields: the columns that are used.
        left_out: names of those that are not.
    """

    def __init__(self, kind: Kind, fields: Sequence[Field], constants: Mapping[str, Any], left_out: list[str]) -> None:
        self.fields: Sequence[Field] = fields
        self.left_out: list[str] = left_out
        self._kind: Kind = kind
        self._constants = constants

    def record(self, place: Place, cells: Sequence[Any]) -> Record:
        """Check a row.

        Raises:
            LineError: it can't be sent.
        """
        parts: dict[str, Any] = {
            part: value.copy() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType] - JSON
            for part, value in self._constants.items()
        }
        for field in self.fields:
            cell = cells[field.place]
            if cell is None or cell == "":
                continue
            try:
                value = field.read(cell)
            except LineError as error:
                raise LineError(error.reason, field.title) from None
            if field.name:
                parts.setdefault(field.part, {})[field.name] = value
            elif isinstance(value, dict):
                parts.setdefault(field.part, {}).update(value)
            else:
                parts[field.part] = value
        return self._made(place, parts)

    def as_written(self, cells: Sequence[Any]) -> dict[str, Any]:
        """Return a row as an object, for a rejects file."""
        content: dict[str, Any] = {}
        for field in self.fields:
            cell = cells[field.place]
            if cell is None or cell == "":
                continue
            if field.name:
                content.setdefault(field.part, {})[field.name] = cell
            else:
                content[field.part] = cell
        return content

    def _made(self, place: Place, parts: dict[str, Any]) -> Record:
        identity = parts.get("identity", {})
        if self._kind == "identities":
            return identity_record(identity)
        if self._kind == "profiles":
            return profile_record(identity, parts.get("user_properties", {}))
        for name in ("event_name", "event_datetime"):
            if name not in parts:
                raise LineError("is missing", name)
        items: Any = parts.get("event_items")
        whole: Any = [items] if isinstance(items, dict) else items
        return event_record(
            place,
            identity,
            name=parts["event_name"],
            moment=parts["event_datetime"],
            properties=parts.get("event_properties"),
            items=whole,
            log_id=parts.get("event_log_id"),
        )


def field_names(kind: Kind) -> list[str]:
    """Return the names of the fields of a line, as JSON has them."""
    own = _PROPERTIES[kind]
    return ["identity", *(_PLAIN if kind == "events" else ()), *([own] if own else [])]


def read_header(
    titles: Sequence[str],
    kind: Kind,
    taxonomy: Taxonomy,
    mapping: TableMapping | None = None,
    *,
    typed: bool = False,
) -> Table:
    """Say what the columns of a table hold.

    Args:
        titles: their names.
        kind: what the table holds.
        taxonomy: types of properties.
        mapping: what columns are that are not called like fields; without one, such a column is a mistake.
        typed: whether it is a table of values, whose columns always have names.

    Raises:
        HeaderError: a column is unknown, missing or there twice, or this is no header at all.
    """
    names = [title.strip() for title in titles]
    readers = _Readers(kind, taxonomy, mapping or _NO_MAPPING)
    constants = readers.constants()
    fields = readers.fields(names)
    if not fields and typed:
        known = ", ".join(_example(kind))
        raise HeaderError(f"none of its columns is a field such as {known}; say which is which in a mapping")
    if not fields:
        raise HeaderError(_no_header(names, kind, readers.names))
    used = {field.place for field in fields}
    left_out = [title for place, title in enumerate(names) if place not in used]
    if left_out and not readers.maps:
        raise HeaderError(_unknown(left_out[0], kind, readers.names))
    _check_targets([_target(field) for field in fields], readers.mapping.constants)
    _check_parts({field.part for field in fields} | set(constants), kind)
    return Table(kind, fields, constants, left_out)


def _check_targets(targets: Sequence[str], constants: Mapping[str, Any]) -> None:
    for target in targets:
        if targets.count(target) > 1 or target in constants:
            raise HeaderError(f"the column {safe_text(target)} is there twice")
    if "event_items" in targets and any(target.startswith("event_items.") for target in [*targets, *constants]):
        raise HeaderError("event_items is a whole list, so its items can't have columns of their own beside it")


def _check_parts(parts: set[str], kind: Kind) -> None:
    for name in _REQUIRED[kind]:
        if name not in parts:
            raise HeaderError(f"the column {name} is missing")
    if "identity" not in parts:
        raise HeaderError(
            f"no column says whose a line is: one of {', '.join(f'identity.{name}' for name in IDENTITY)}"
        )
    if kind == "profiles" and "user_properties" not in parts:
        raise HeaderError("no column holds a property: they are called user_properties.NAME")


_Found: TypeAlias = "tuple[str, str, CellReader]"

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
_PLAIN: Final = ("event_name", "event_datetime", "event_items", "event_log_id")


class _Readers:
    """Fields by their names, each with what reads its cells."""

    def __init__(self, kind: Kind, taxonomy: Taxonomy, mapping: TableMapping) -> None:
        self._kind: Kind = kind
        self.mapping = mapping
        self._properties: dict[str, Properties] = {
            "event_properties": taxonomy.event_properties,
            "event_items": taxonomy.item_properties,
            "user_properties": taxonomy.user_properties,
        }

    def fields(self, names: Sequence[str]) -> list[Field]:
        """Return the columns of a table that are fields."""
        columns = self.mapping.columns
        for title, target in columns.items():
            if title not in names:
                hint = nearest(title, names)
                raise HeaderError(f"the mapping names the column {safe_text(title)!r}, which is not there{hint}")
            if self.of(target) is None:
                raise HeaderError(f"the mapping: {_unknown(target, self._kind, self.names)}")
        found = [(place, title, self.of(columns.get(title, title))) for place, title in enumerate(names)]
        return [Field(place, title, *field) for place, title, field in found if field is not None]

    def of(self, target: str) -> _Found | None:
        """Return part, name and reader of a field; `None` where there is no such field."""
        whole: dict[str, CellReader] = (
            {"identity": object_of, self._own: object_of} if self._own else {"identity": object_of}
        )
        if self._kind == "events":
            whole |= {
                "event_name": text_of,
                "event_datetime": self._moment,
                "event_items": items_of,
                "event_log_id": text_of,
            }
        if target in whole:
            return target, "", whole[target]
        part, dot, name = target.partition(".")
        if part == "identity" and name in IDENTITY:
            return part, name, id_of
        if dot and name and (part == self._own or (part == "event_items" and self._kind == "events")):
            known = self._properties[part].get(name)
            return part, name, self._property(None if known is None else known.type)
        return None

    def constants(self) -> dict[str, Any]:
        """Return the constants by the part that they belong to."""
        parts: dict[str, Any] = {}
        for target, value in self.mapping.constants.items():
            if (found := self.of(target)) is None:
                raise HeaderError(f"the mapping: {_unknown(target, self._kind, self.names)}")
            part, name, read = found
            try:
                checked = read(value)
            except LineError as error:
                raise HeaderError(f"the mapping: {target}: {error.reason}") from None
            if name:
                parts.setdefault(part, {})[name] = checked
            else:
                parts[part] = checked
        return parts

    @property
    def maps(self) -> bool:
        """Whether anything is said of columns; then those of which nothing is said are left out."""
        return bool(self.mapping.columns or self.mapping.constants)

    @property
    def names(self) -> list[str]:
        """Names of fields, those of the known properties included."""
        own = self._own
        properties = [f"{own}.{name}" for name in self._properties[own]] if own else []
        return [*(f"identity.{name}" for name in IDENTITY), *(_PLAIN if self._kind == "events" else ()), *properties]

    @property
    def _own(self) -> str | None:
        return _PROPERTIES[self._kind]

    def _moment(self, cell: Any) -> Any:
        form, zone = self.mapping.datetime_format, self.mapping.zone
        if isinstance(cell, int) and not isinstance(cell, bool):
            cell = str(cell)  # a day such as 19970101
        if isinstance(cell, str):
            if form is None and zone is None:
                return cell  # read, and refused without a zone, where events are made
            try:
                cell = dt.datetime.strptime(cell, form) if form else dt.datetime.fromisoformat(cell)  # noqa: DTZ007
            except ValueError:
                raise LineError("is no datetime" if form is None else f"is no datetime in the form {form}") from None
        if isinstance(cell, dt.date) and not isinstance(cell, dt.datetime):
            cell = dt.datetime.combine(cell, dt.time())
        if not isinstance(cell, dt.datetime):
            raise LineError("must be a datetime")
        return zoned(cell, zone)

    def _property(self, kind: DataType | None) -> CellReader:
        of_text = TEXT_READERS.get(kind, str) if kind is not None else str
        zone = self.mapping.zone

        def read(cell: Any) -> Any:
            if isinstance(cell, str):
                return of_text(cell)
            if isinstance(cell, Decimal):
                return float(cell)
            return zoned(cell, zone) if isinstance(cell, dt.datetime) else cell

        return read


def _target(field: Field) -> str:
    return f"{field.part}.{field.name}" if field.name else field.part


_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_.]{0,59}")
_SHOWN: Final = 10


def _no_header(titles: Sequence[str], kind: Kind, known: Sequence[str]) -> str:
    first = ",".join(titles)
    if first.lower().startswith("sep="):
        return "begins with a sep= line; save it without one, as a plain CSV file with commas"
    if len(titles) == 1 and (";" in first or "\t" in first) and any(name in first for name in known):
        return "columns must be parted by commas, not by semicolons or tabs; or say --separator"
    wanted = f"such as {', '.join(_example(kind))}"
    if all(map(_NAME.fullmatch, titles)):  # else they may be values, which are nobody's business
        shown = ", ".join(safe_text(title) for title in titles[:_SHOWN]) + (", …" if len(titles) > _SHOWN else "")
        return f"has no column that is known: {shown}; columns are {wanted}; --map COLUMN=FIELD says which is which"
    return f"has no header: its first line must name the columns, {wanted}; or --header names them"


def _example(kind: Kind) -> tuple[str, ...]:
    part = _PROPERTIES[kind]
    return ("identity.external_id", *_REQUIRED[kind], *((f"{part}.NAME",) if part else ()))


def _unknown(title: str, kind: Kind, known: Sequence[str]) -> str:
    shown = safe_text(title)[:60]
    hint = nearest(title, known)
    if not hint and (part := _PROPERTIES[kind]) is not None and "." not in title and title:
        hint = f"; a property's column is called {part}.{shown}"
    return f"unknown column {shown!r}{hint}"
