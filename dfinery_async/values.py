"""What the API has room for: property values, names, datetimes and ids, checked and brought into the API's form.

Rules follow the API guide's page "Data Type": String, Long, Double, Boolean, Datetime, Date and arrays of the first
three. There are no nested objects. Checking makes a copy, so that later changes to a caller's dict change nothing.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from dfinery_async.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ITEMS",
    "MAX_ITEMS",
    "PropertyValue",
    "check_items",
    "check_properties",
    "check_text",
    "datetime_text",
    "log_id_text",
]

PropertyValue: TypeAlias = (
    "str | int | float | bool | dt.datetime | dt.date | Sequence[str] | Sequence[int] | Sequence[float] | None"
)
"""A value of a property: the API's data types; `None` goes out as `null`."""

ITEMS = "df_items"
"""What the SDKs, taxonomies and typed events call the items of an event, a field of its own in this API."""

MAX_ITEMS = 100
"""Items in one event, and in one request (API guide, "Event": up to 100 event items)."""

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_DIGITS = re.compile(r"[0-9a-f]{32}")
_encode = msgspec.json.Encoder().encode
_isfinite = math.isfinite
_Datetime, _UTC = dt.datetime, dt.UTC
_USUAL = frozenset({int, bool, type(None)})  # and texts and doubles
_WITH_MICROSECONDS = len('"2025-03-02T04:11:09.120000Z"')


def check_text(value: object, field: str) -> str:
    """Return `value` if it is text that can be sent: not empty, and valid Unicode."""
    if type(value) is str and value and value.isascii():
        return value
    if not isinstance(value, str):
        raise InvalidInputError(f"must be text, not {type(value).__name__}", field=field)
    if not value:
        raise InvalidInputError("must not be empty", field=field)
    return _sendable(str.__str__(value), field)  # the plain text of an enum's member or another kind of str


def check_properties(properties: Mapping[str, Any] | None, field: str) -> dict[str, Any] | None:
    """Return a checked copy of an event's or user's properties, or `None` where there are none."""
    if properties is None:
        return None
    if properties.__class__ is dict:
        if (usual := _usual_copy(properties)) is not None:
            return usual or None
    elif not isinstance(properties, Mapping):
        raise InvalidInputError(f"must be a dict, not {type(properties).__name__}", field=field)
    checked: dict[str, Any] = {}
    for name, value in properties.items():
        text = _name(name, field)
        checked[text] = value if value is None or type(value) is bool else _value(value, f"{field}.{text}")
    return checked or None


def check_items(items: Sequence[Mapping[str, Any]] | None, field: str) -> list[dict[str, Any]] | None:
    """Return a checked copy of an event's items, or `None` where there are none."""
    if items is None:
        return None
    if isinstance(items, str | bytes | Mapping) or not hasattr(items, "__len__"):
        raise InvalidInputError(f"must be a list of dicts, not {type(items).__name__}", field=field)
    if len(items) > MAX_ITEMS:
        raise InvalidInputError(
            f"{len(items)} items; the API takes at most {MAX_ITEMS} in one event: make several events of it",
            field=field,
        )
    checked: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if item.__class__ is dict and (usual := _usual_copy(item)):
            checked.append(usual)
            continue
        copy = check_properties(item, f"{field}[{index}]")
        if copy is None:
            raise InvalidInputError("must have at least one property", field=f"{field}[{index}]")
        checked.append(copy)
    return checked or None


def datetime_text(value: dt.datetime, field: str) -> str:
    """Write an aware datetime as UTC with three millisecond digits and `Z`, truncated.

    API guide, "Data Type": `yyyy-MM-dd'T'HH:mm:ss.SSS` and a literal `Z`.
    """
    if type(value) is _Datetime and value.tzinfo is _UTC:  # six times as quick, and what events have by default
        encoded = _encode(value)
        if len(encoded) == _WITH_MICROSECONDS:
            return encoded[1:24].decode() + "Z"
    try:
        zoned = value.tzinfo is not None and value.utcoffset() is not None
        moment = value.astimezone(dt.UTC) if zoned else None
    except (OverflowError, ValueError):
        raise InvalidInputError("lies outside the years 1 to 9999 in UTC", field=field) from None
    if moment is None:
        raise InvalidInputError(
            "a datetime without a time zone says no moment; give it one, such as datetime.now(timezone.utc)",
            field=field,
        )
    return f"{dt.datetime.isoformat(moment, 'T', 'milliseconds')[:-6]}Z"


def moment_text(seconds: float) -> str:
    """Write a moment, in seconds since 1970, as the API's Datetime."""
    return datetime_text(dt.datetime.fromtimestamp(seconds, dt.UTC), "datetime")


def log_id_text(value: object, field: str) -> str:
    """Bring a UUID in any usual spelling into the API's: lower case with dashes (API guide, "Event")."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        text = str.__str__(value)
        if _UUID.fullmatch(text):
            return text
        text = text.strip().lower().removeprefix("urn:uuid:")
        if text[:1] + text[-1:] == "{}":
            text = text[1:-1]
        # uuid.UUID() takes dashes anywhere, underscores and foreign digits; a typing error would become another id.
        if _UUID.fullmatch(text) or _UUID_DIGITS.fullmatch(text):
            return str(uuid.UUID(text))
    raise InvalidInputError("must be a UUID, such as 5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa", field=field)


def _usual_copy(properties: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a copy where all names and values are plain ones that go out as they are, as nearly all do."""
    try:
        for name, value in properties.items():
            if name.__class__ is not str or not name or not name.isascii():
                return None
            kind: type = value.__class__
            if kind is str:
                if not value.isascii():
                    value.encode()
            elif kind is float:
                if not _isfinite(value):
                    return None
            elif (kind is int and not _LONG_MIN <= value <= _LONG_MAX) or kind not in _USUAL:
                return None
    except UnicodeEncodeError:
        return None
    return dict(properties)


def _name(name: object, field: str) -> str:
    if not isinstance(name, str):
        raise InvalidInputError(f"names must be text, not {type(name).__name__}", field=field)
    return check_text(name, f"{field} (a name)")


def _value(value: object, field: str) -> object:
    match value:
        case str():
            return _sendable(str.__str__(value), field)
        case int():
            return _long(int(value), field)
        case float():
            return _double(float(value), field)
        case dt.datetime():
            return datetime_text(value, field)
        case dt.date():
            return dt.date.isoformat(value)
        case list() | tuple():
            return _array(cast("Sequence[object]", value), field)
        case Mapping():
            raise InvalidInputError("the API has no nested objects; make a property of each value", field=field)
        case _:
            raise InvalidInputError(
                f"{type(value).__module__}.{type(value).__name__} is none of the API's types "
                "(text, whole number, float, bool, datetime, date, lists of the first three); convert it",
                field=field,
            )


def _array(values: Sequence[object], field: str) -> list[Any]:
    kinds = {_kind(value, f"{field}[{index}]") for index, value in enumerate(values)}
    if kinds <= {str} or kinds == {int}:
        return [_value(value, f"{field}[{index}]") for index, value in enumerate(values)]
    if kinds <= {int, float}:
        # A whole number among doubles is a double; one beyond a Long might not even fit into one.
        checked = [_value(value, f"{field}[{index}]") for index, value in enumerate(values)]
        return [float(cast("float", value)) for value in checked]
    raise InvalidInputError("a list must hold only texts or only numbers", field=field)


def _kind(value: object, field: str) -> type:
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind
    raise InvalidInputError(f"the API has no lists of {type(value).__name__}, only of texts or numbers", field=field)


def _long(value: int, field: str) -> int:
    if _LONG_MIN <= value <= _LONG_MAX:
        return value
    raise InvalidInputError("is outside a signed 64-bit Long; send it as text", field=field)


def _double(value: float, field: str) -> float:
    if _isfinite(value):
        return value
    raise InvalidInputError("NaN and infinities have no place in JSON; leave the property out", field=field)


def _sendable(value: str, field: str) -> str:
    if _encodable(value):
        return value
    raise InvalidInputError("holds half of a surrogate pair, which is no valid Unicode", field=field)


def _encodable(value: str) -> bool:
    """Whether a text is valid Unicode. Python's own error holds all of the text, and must not stay behind ours."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True
