"""Bases of typed events: a class for each registered event, whose fields are its properties.

`dfinery typegen` writes such classes from a taxonomy; written by hand they are the same. A mistyped name of a property
is an error of the type checker, and a `TypeError` where the object is made.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event
from dfinery_async.values import ITEMS

if TYPE_CHECKING:
    import uuid

__all__ = ["TypedEvent", "TypedItem", "TypedProfile"]

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


class _Typed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields that are sent under their names, or those that `msgspec.field(name=…)` gives them."""

    def _checked(self, left_out: object, where: str) -> dict[str, Any]:
        """Return what is sent, by name. Values that are not of the field's type are found here, and named."""
        pairs = zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True)
        values = {name: value for name, field in pairs if (value := getattr(self, field)) is not left_out}
        try:
            msgspec.convert(values, type(self))
        except msgspec.ValidationError as error:
            place = _PLACE.search(text := str(error))
            reason = text if place is None else text[: place.start()]
            if reason.startswith("Invalid enum value"):  # and here stands the value
                reason = "Expected one of the registered values"
            raise InvalidInputError(reason, field=f"{where}{'.' if place else ''}{place[1] if place else ''}") from None
        return values


class TypedItem(_Typed, frozen=True, kw_only=True):
    """Base of the items of events. `None` is left out."""

    def to_dict(self) -> dict[str, Any]:
        """Return the properties that are set, by name.

        Raises:
            InvalidInputError: a value is not of the property's type.
        """
        return self._checked(None, "item")


class TypedEvent(_Typed, frozen=True, kw_only=True):
    """Base of typed events.

    A field is a property of the event; the one that is sent as `df_items` holds its items. `None` is left out.

    Attributes:
        event_name: the registered name; a subclass sets it.
    """

    event_name: ClassVar[str]

    def event(self, *, datetime: dt.datetime | None = None, log_id: str | uuid.UUID | None = None) -> Event:
        """Make the event that is sent: one logical event, with an id of its own.

        Args:
            datetime: when it happened; now by default.
            log_id: id of the event; a new one by default.

        Raises:
            InvalidInputError: a value is not of the property's type, or the API has no room for it.
        """
        properties = self._checked(None, "properties")
        items = properties.pop(ITEMS, None)
        return Event(
            self.event_name,
            properties=properties,
            items=None if items is None else [item.to_dict() for item in items],
            datetime=datetime,
            log_id=log_id,
        )


class TypedProfile(_Typed, frozen=True, kw_only=True):
    """Base of typed user properties. What is not set is left out; `None` is sent as `null`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the properties that are set, by name, for `set_profile` and `update_profile`.

        Raises:
            InvalidInputError: a value is not of the property's type.
        """
        return self._checked(msgspec.UNSET, "properties")
