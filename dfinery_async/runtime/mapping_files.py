"""Files that say what the columns of a table are: TOML, or JSON."""

from __future__ import annotations

import datetime as dt
import json
import os
import tomllib
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dfinery_async.core.mapping import TableMapping, mapping_of
from dfinery_async.errors import ConfigError
from dfinery_async.runtime.files import read_settings_file

__all__ = ["read_mapping", "time_zone"]

_LARGEST = 1024 * 1024  # bytes


def read_mapping(path: str | os.PathLike[str]) -> TableMapping:
    """Read what the columns of a table are from a file: JSON where its name ends with `.json`, TOML otherwise.

    Its keys are the attributes of `TableMapping`; `zone` is a name such as `"Asia/Seoul"` or an offset such as
    `"+09:00"`:

        zone = "Asia/Seoul"
        [columns]
        customer_id = "identity.external_id"
        date = "event_datetime"
        [constants]
        event_name = "df_purchase"

    Args:
        path: the file, of at most 1 MiB.

    Raises:
        ConfigError: it can't be read, or is no mapping; the message says where.
    """
    name = os.fspath(path)
    text = read_settings_file(name, "the mapping", _LARGEST)
    try:
        content: Any = json.loads(text) if name.lower().endswith(".json") else tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # both libraries' errors are ValueErrors, and say where
        raise ConfigError(f"the mapping can't be read: {error}") from None
    zone = cast("dict[str, Any]", content).get("zone") if isinstance(content, dict) else None
    return mapping_of(cast("object", content), None if zone is None else time_zone(zone))


def time_zone(name: object) -> dt.tzinfo:
    """Return the time zone of a name such as `Asia/Seoul`, or of an offset such as `+09:00`; `Z` and `UTC` are UTC.

    Raises:
        ConfigError: there is none.
    """
    if name in {"Z", "UTC"}:
        return dt.UTC
    try:
        if isinstance(name, str) and name[:1] in {"+", "-"}:
            zone = dt.datetime.fromisoformat(f"2025-01-01T00:00:00{name}").tzinfo
            if zone is not None:
                return zone
        elif isinstance(name, str) and name:
            return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        pass
    raise ConfigError(f"there is no time zone {name!r}; name one such as Asia/Seoul, UTC or +09:00")
