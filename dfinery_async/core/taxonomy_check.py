"""What an event or a profile has that is not registered, or not as the taxonomy says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from dfinery_async.core.nearest import nearest
from dfinery_async.core.taxonomy import DataType, Properties, Property, Taxonomy
from dfinery_async.models import Event
from dfinery_async.redact import safe_text
from dfinery_async.values import ITEMS

__all__ = ["Fault", "event_faults", "profile_faults"]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


class Fault(msgspec.Struct, frozen=True):
    """One disagreement.

    Attributes:
        field: where, such as `properties.df_prise`; never a value.
        reason: what is wrong, and what may have been meant.
    """

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


def event_faults(taxonomy: Taxonomy, event: Event) -> Iterator[Fault]:
    """Find what the taxonomy does not know of an event, one by one; nothing where all is well."""
    properties, items = event.properties or {}, event.items or ()
    kind = taxonomy.events.get(event.name)
    if kind is None:
        hint = nearest(event.name, taxonomy.events)
        yield Fault("name", f"no event {safe_text(event.name)} is registered{hint}")
    else:
        for name in kind.required:
            if properties.get(name) is None and name != ITEMS:
                yield Fault(f"properties.{name}", f"is missing, which {event.name} must have")
        if ITEMS in kind.required and not items:
            yield Fault("items", f"are missing, which {event.name} must have")
    yield from _faults(properties, taxonomy.event_properties, "properties")
    required = [name for name, each in taxonomy.item_properties.items() if each.required]
    for place, item in enumerate(items):
        yield from _faults(item, taxonomy.item_properties, f"items[{place}]")
        for name in required:
            if item.get(name) is None:
                yield Fault(f"items[{place}].{name}", "is missing, which each item must have")


def profile_faults(taxonomy: Taxonomy, properties: Mapping[str, Any]) -> Iterator[Fault]:
    """Find what the taxonomy does not know of user properties."""
    return _faults(properties, taxonomy.user_properties, "properties")


def _faults(values: Mapping[str, Any], known: Properties, where: str) -> Iterator[Fault]:
    for name, value in values.items():
        if (registered := known.get(name)) is None:
            yield Fault(f"{where}.{name}", f"is not registered{nearest(name, known)}")
        elif value is not None and (reason := _mismatch(registered, value)):
            yield Fault(f"{where}.{name}", reason)


def _mismatch(registered: Property, value: object) -> str:
    if registered.type is not None and not _is(registered.type, value):
        return f"is registered as {registered.type.value}, and {_KINDS.get(type(value), 'this')} is none"
    if registered.values and value not in registered.values:
        return f"must be one of {', '.join(registered.values)}"
    return ""


def _is(kind: DataType, value: object) -> bool:
    """Whether a value is of a type, in the form in which it is sent. A whole number is a Double, too."""
    if element := _ELEMENTS.get(kind):
        return isinstance(value, list) and all(_is(element, each) for each in cast("list[object]", value))
    if form := _FORMS.get(kind):
        return isinstance(value, str) and form.fullmatch(value) is not None
    return isinstance(value, _CLASSES[kind]) and isinstance(value, bool) == (kind is DataType.BOOLEAN)


_CLASSES: Mapping[DataType, tuple[type, ...]] = {
    DataType.STRING: (str,),
    DataType.LONG: (int,),
    DataType.DOUBLE: (int, float),
    DataType.BOOLEAN: (bool,),
}
_FORMS = {DataType.DATETIME: _DATETIME, DataType.DATE: _DATE}
_ELEMENTS = {DataType.STRINGS: DataType.STRING, DataType.LONGS: DataType.LONG, DataType.DOUBLES: DataType.DOUBLE}
_KINDS: Mapping[type, str] = {
    str: "this text",
    int: "a whole number",
    float: "a float",
    bool: "a bool",
    list: "this list",
}
