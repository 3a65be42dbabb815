"""How a table that is not in our shape becomes events: which column is which field, and what holds for every row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from dfinery_async.core.nearest import nearest
from dfinery_async.errors import ConfigError

__all__ = ["SEPARATORS", "TableMapping", "mapping_of"]

SEPARATORS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "whitespace": " "}
"""What parts the cells of a text, by name. `whitespace` is any number of spaces and tabs, and knows no quotes."""


class TableMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Which column of a table is which field of an event, and what holds for every row.

    Fields are called as in a CSV file of `dfinery load`: `identity.external_id`, `event_name`, `event_datetime`,
    `event_log_id`, `event_properties.NAME`, `user_properties.NAME`; `event_items` for a list of items, or
    `event_items.NAME` for a property of the one item that a row is.

    Attributes:
        columns: fields by column. Columns that are neither here nor called like a field are left out.
        constants: values by field, the same in every row.
        zone: time zone of datetimes without one, and of days: a moment of a day is its midnight there.
        datetime_format: how `event_datetime` is written, as `datetime.strptime` takes it; ISO 8601 by default.
        header: names of the columns of a text that has no header.
        separator: what parts the cells of a text: one character, or a name of `SEPARATORS`; a comma by default.
    """

    columns: Mapping[str, str] = {}
    constants: Mapping[str, Any] = {}
    zone: dt.tzinfo | None = None
    datetime_format: str | None = None
    header: tuple[str, ...] | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        if self.separator is not None and len(SEPARATORS.get(self.separator, self.separator)) != 1:
            known = ", ".join(SEPARATORS)
            raise ConfigError(f"separator must be one character or one of {known}, not {self.separator!r}")
        fields = [*self.columns.values(), *self.constants]
        for field in fields:
            if fields.count(field) > 1:
                raise ConfigError(f"the mapping fills {field} twice")


def mapping_of(content: object, zone: dt.tzinfo | None = None) -> TableMapping:
    """Make a mapping of what a file holds, as plain values.

    Args:
        content: an object with the attributes of `TableMapping`; `zone` is none of them here.
        zone: the time zone that the file names.

    Raises:
        ConfigError: it is no mapping; the message says where.
    """
    kind = type(content)
    if not isinstance(content, Mapping):
        raise ConfigError(f"a mapping is an object with columns and constants, not {kind.__name__}")
    values = cast("Mapping[object, object]", content)
    for name in values:
        if name not in TableMapping.__struct_fields__:
            hint = nearest(str(name), TableMapping.__struct_fields__)
            raise ConfigError(f"the mapping has an unknown key {name!r}{hint}")
    try:
        mapping = msgspec.convert({**values, "zone": None}, TableMapping)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the mapping is not valid: {error}") from None
    return msgspec.structs.replace(mapping, zone=zone)
