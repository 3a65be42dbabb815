"""The taxonomy: events and properties that are registered with a service, each with its type.

The standard ones are the same for every service (developer guide, "Event" and "User profile"); a file adds a service's
own. The text of files comes in from outside, as plain values: JSON and YAML give the same.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import msgspec

from dfinery_async.core.nearest import nearest
from dfinery_async.errors import ConfigError, InvalidInputError
from dfinery_async.values import ITEMS, check_text

__all__ = ["DataType", "EventType", "Property", "Taxonomy", "read_content"]

_PREFIX_OF_ITEMS = "df_items_"


class DataType(enum.Enum):
    """What a property holds (API guide, "Data Type")."""

    STRING = "String"
    LONG = "Long"
    DOUBLE = "Double"
    BOOLEAN = "Boolean"
    DATETIME = "Datetime"
    DATE = "Date"
    STRINGS = "Array of String"
    LONGS = "Array of Long"
    DOUBLES = "Array of Double"


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A registered property of events, items or users.

    Attributes:
        name: as the API has it.
        type: what it holds; `None` where the file does not say.
        description: what it means.
        values: the only texts that it may hold; empty where any may stand.
        required: whether each item must have it; for properties of events, the event says so.
    """

    name: str
    type: DataType | None = None
    description: str = ""
    values: tuple[str, ...] = ()
    required: bool = False


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A registered event.

    Attributes:
        name: as the API has it.
        description: what it means.
        properties: names of the properties that it usually carries. Any registered property may stand in any event.
        items: whether it carries items.
        required: names of the properties that it must have, `df_items` for its items.
        required_by_sdks: the same as the vendor's guides of SDKs say it, which the API's own guide does not: told, and
            not enforced.
        system: whether the SDKs make it on their own.
    """

    name: str
    description: str = ""
    properties: tuple[str, ...] = ()
    items: bool = False
    required: tuple[str, ...] = ()
    required_by_sdks: tuple[str, ...] = ()
    system: bool = False


Properties: TypeAlias = Mapping[str, Property]


class Taxonomy(msgspec.Struct, frozen=True, kw_only=True):
    """What is registered with a service, by name: the standard events and properties, and the service's own.

    Made by `read_taxonomy()`.

    Attributes:
        events: events.
        event_properties: properties of events.
        item_properties: properties of the items of events.
        user_properties: properties of users.
        export_columns: the columns that exports have beside those.
    """

    events: Mapping[str, EventType]
    event_properties: Properties
    item_properties: Properties
    user_properties: Properties
    export_columns: Properties

    @property
    def columns(self) -> Properties:
        """Every column that an export may have, by its name there: those of items begin with `df_items_`."""
        items = {f"{_PREFIX_OF_ITEMS}{name}": each for name, each in self.item_properties.items()}
        return {**self.event_properties, **items, **self.user_properties, **self.export_columns}

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return events and properties as lists of objects with `name`, `type` and `values`, as a file has them."""
        properties = {
            "event_properties": self.event_properties,
            "item_properties": self.item_properties,
            "user_properties": self.user_properties,
        }
        return {
            "events": [{"name": name, "required": list(event.required)} for name, event in self.events.items()],
            **{
                kind: [
                    {
                        "name": each.name,
                        **({"type": each.type.value} if each.type else {}),
                        **({"values": list(each.values)} if each.values else {}),
                    }
                    for each in several.values()
                ]
                for kind, several in properties.items()
            },
        }

    def __repr__(self) -> str:
        own = [len(self.events), len(self.event_properties) + len(self.item_properties) + len(self.user_properties)]
        return f"<Taxonomy of {own[0]} events and {own[1]} properties>"


class _EventEntry(msgspec.Struct, kw_only=True):
    name: str
    description: str | None = None
    properties: list[str] = []
    items: bool | None = None
    required: list[str] = []
    required_properties: list[str] = []


class _PropertyEntry(msgspec.Struct, kw_only=True):
    name: str
    type: str | None = None
    description: str | None = None
    values: list[str] = []
    enum: str | None = None
    required: bool = False
    used_by: list[str] = []


class _EnumEntry(msgspec.Struct, kw_only=True):
    values: list[str] = []


class _File(msgspec.Struct, kw_only=True):
    events: list[str | _EventEntry] = []
    system_events: list[str | _EventEntry] = []
    event_properties: list[str | _PropertyEntry] = []
    system_event_properties: list[str | _PropertyEntry] = []
    item_properties: list[str | _PropertyEntry] = []
    user_properties: list[str | _PropertyEntry] = []
    export_columns: list[str | _PropertyEntry] = []
    enums: dict[str, _EnumEntry] = {}


# Lists that a file may hold for its readers, and that say nothing to us.
_PASSED_OVER = frozenset({"$schema", "data_types", "description", "identities", "meta", "sources", "title", "version"})
_SPELLINGS = {**{kind.value: kind for kind in DataType}, "Number": DataType.DOUBLE, "Number (ms)": DataType.LONG}
_UNFIT = re.compile(r'["\\\x00-\x1f]')
_SLIP = 0.8  # how alike a key must be to one of ours to be taken for it, mistyped


def read_content(content: object, base: Taxonomy | None = None) -> Taxonomy:
    """Make a taxonomy of what a file holds, as plain values.

    What the file does not say of a name that `base` knows too, is as in `base`.

    Args:
        content: an object with the lists `events`, `event_properties`, `item_properties` and `user_properties`; each
            entry a name or an object. Other keys of an entry are passed over, as long as none looks like a slip.
        base: what is registered beside it.

    Raises:
        ConfigError: it is no taxonomy; the message says where.
    """
    _no_slips(content)
    try:
        file = msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        raise _error(str(error)) from None
    enums = {name: tuple(entry.values) for name, entry in file.enums.items()}
    properties = {
        "event_properties": [*file.event_properties, *file.system_event_properties],
        "item_properties": file.item_properties,
        "user_properties": file.user_properties,
        "export_columns": file.export_columns,
    }
    known = {
        where: _properties(entries, enums, where, {} if base is None else getattr(base, where))
        for where, entries in properties.items()
    }
    events = _events(file, known["event_properties"], {} if base is None else base.events)
    return Taxonomy(events=MappingProxyType(events), **{name: MappingProxyType(each) for name, each in known.items()})


def _properties(
    entries: Iterable[str | _PropertyEntry], enums: Mapping[str, tuple[str, ...]], where: str, base: Properties
) -> dict[str, Property]:
    found: dict[str, Property] = {}
    for entry in entries:
        own = _PropertyEntry(name=entry) if isinstance(entry, str) else entry
        name = _new_name(own.name, found, where)
        if name == ITEMS and where == "event_properties":
            continue  # the SDKs' property for what is a field of its own in this API
        if own.enum is not None and own.enum not in enums:
            raise _error(f"{where}: {name}: enums has no {own.enum!r}{nearest(own.enum, enums)}")
        before = base.get(name, Property(name=name))
        found[name] = Property(
            name=name,
            type=before.type if own.type is None else _data_type(own.type, f"{where}: {name}"),
            description=own.description or before.description,
            values=tuple(own.values) or (enums[own.enum] if own.enum is not None else before.values),
            required=own.required or before.required,
        )
    return {**base, **found}


def _data_type(text: str, where: str) -> DataType:
    if (kind := _SPELLINGS.get(text)) is None:
        raise _error(f"{where}: {text!r} is none of the API's types ({', '.join(kind.value for kind in DataType)})")
    return kind


def _events(file: _File, properties: Properties, base: Mapping[str, EventType]) -> dict[str, EventType]:
    used: dict[str, list[str]] = {}
    for each in [*file.event_properties, *file.system_event_properties]:
        if not isinstance(each, str):
            for event in each.used_by:
                used.setdefault(event, []).append(each.name)
    own = [*map(_event_entry, file.events), *map(_event_entry, file.system_events)]
    listed = {entry.name for entry in own}
    for name, several in used.items():
        if name not in listed:
            if name not in base:
                hint = nearest(name, [*listed, *base])
                raise _error(f"event_properties: {several[0]} is used by {name!r}, which is no event{hint}")
            own.append(_EventEntry(name=name))
    found: dict[str, EventType] = {}
    for place, entry in enumerate(own):
        name = _new_name(entry.name, found, "events")
        system = len(file.events) <= place < len(file.events) + len(file.system_events)
        before = base.get(name, EventType(name=name, system=system))
        carried = dict.fromkeys([*before.properties, *entry.properties, *used.get(name, ()), *entry.required])
        for mentioned in [*carried, *entry.required_properties]:
            if mentioned not in properties and mentioned != ITEMS:
                hint = nearest(mentioned, properties)
                raise _error(f"events: {name}: there is no property {mentioned!r} in event_properties{hint}")
        found[name] = msgspec.structs.replace(
            before,
            description=entry.description or before.description,
            properties=tuple(carry for carry in carried if carry != ITEMS),
            items=(before.items or ITEMS in carried) if entry.items is None else entry.items,
            required=tuple(dict.fromkeys([*before.required, *entry.required])),
            required_by_sdks=tuple(entry.required_properties) or before.required_by_sdks,
        )
    return {**base, **found}


def _event_entry(entry: str | _EventEntry) -> _EventEntry:
    return _EventEntry(name=entry) if isinstance(entry, str) else entry


def _new_name(name: str, found: Mapping[str, Any], where: str) -> str:
    try:
        check_text(name, f"{where}: a name")
    except InvalidInputError as error:
        raise _error(str(error)) from None
    if _UNFIT.search(name):
        raise _error(f"{where}: a name holds a quotation mark, a backslash or a control character")
    if name in found:
        raise _error(f"{where}: {name} comes twice")
    return name


def _no_slips(content: object) -> None:
    """Find keys that are mistyped: what they say would be passed over in silence."""
    if not isinstance(content, Mapping):
        raise _error(f"it is no object with lists such as events, but {type(content).__name__}")
    lists = cast("Mapping[object, object]", content)
    for key, entries in lists.items():
        if key not in _File.__struct_fields__:
            if key not in _PASSED_OVER:
                raise _error(f"{key!r} is no list of a taxonomy{nearest(str(key), _File.__struct_fields__)}")
            continue
        kind = _EventEntry if str(key).endswith("events") else _PropertyEntry
        for place, entry in enumerate(cast("list[object]", entries) if isinstance(entries, list) else ()):
            for name in cast("Mapping[object, object]", entry) if isinstance(entry, Mapping) else ():
                if name not in kind.__struct_fields__ and (hint := _slip(str(name), kind.__struct_fields__)):
                    raise _error(f"{key}[{place}]: unknown key {name!r}{hint}")


def _slip(name: str, known: Iterable[str]) -> str:
    """Return what a key was meant to be, where it differs by a letter or two; other keys are the file's own affair."""
    return nearest(name, known, alike=_SLIP)


def _error(reason: str) -> ConfigError:
    return ConfigError(f"the taxonomy is not valid: {reason}")
