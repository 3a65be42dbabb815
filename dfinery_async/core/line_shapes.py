"""The shapes of lines and rows: which fields there are, and what a wrong one is told.

A file's line is decoded straight into a shape; a row of a partition, which is a dict already, is converted into one.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

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
from dfinery_async.errors import InvalidInputError
from dfinery_async.redact import safe_text
from dfinery_async.values import datetime_text

__all__ = ["LINES", "explain_shape", "record_of", "row_record"]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Identity(_Strict, omit_defaults=True):
    external_id: str | None = None
    email: str | None = None
    phone_no: str | None = None
    kakao_user_id: str | None = None
    line_user_id: str | None = None


class _EventLine(_Strict):
    identity: _Identity
    event_name: str
    event_datetime: str
    event_properties: dict[str, Any] | None = None
    event_items: list[dict[str, Any]] | None = None
    event_log_id: str | None = None
    error: msgspec.Raw = msgspec.Raw()  # what an earlier load wrote beside a line that it could not deliver


class _ProfileLine(_Strict):
    identity: _Identity
    user_properties: dict[str, Any]
    error: msgspec.Raw = msgspec.Raw()


class _IdentityLine(_Strict):
    identity: _Identity
    error: msgspec.Raw = msgspec.Raw()


Shape: TypeAlias = "_EventLine | _ProfileLine | _IdentityLine"

LINES: Final[dict[Kind, type[Shape]]] = {
    "events": _EventLine,
    "profiles": _ProfileLine,
    "identities": _IdentityLine,
}
"""The shape of a line by what a file holds."""

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPES = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
_PATH = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_KEY = re.compile(r" - at `key` in `\$\.?(.*)`", re.DOTALL)
_WORDS = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def record_of(line: Shape, place: Place) -> Record:
    """Check what a line holds.

    Args:
        line: the line in its shape.
        place: which of all equal lines it is, for the id of an event that has none.

    Raises:
        LineError: a part can't be sent.
    """
    identity = msgspec.structs.asdict(line.identity)
    match line:
        case _EventLine():
            return event_record(
                place,
                identity,
                name=line.event_name,
                moment=line.event_datetime,
                properties=line.event_properties,
                items=line.event_items,
                log_id=line.event_log_id,
            )
        case _ProfileLine():
            return profile_record(identity, line.user_properties)
        case _:
            return identity_record(identity)


def row_record(row: Mapping[str, Any], kind: Kind, place: Place) -> Record:
    """Check a row: a line of a file as a dict, in which an identity may be a plain `external_id`.

    Datetimes and UUIDs may be objects as well as text.

    Raises:
        LineError: a part can't be sent.
    """
    if not isinstance(row, Mapping):
        raise LineError(f"a row must be a dict, not {type(row).__name__}")
    plain = dict(row)
    if isinstance(user := plain.get("identity"), str):
        plain["identity"] = {"external_id": user}
    plain.pop("error", None)
    if isinstance(moment := plain.get("event_datetime"), dt.datetime):
        try:
            plain["event_datetime"] = datetime_text(moment, "event_datetime")
        except InvalidInputError as error:
            raise LineError(str(error.args[0]), "event_datetime") from None
    if isinstance(log_id := plain.get("event_log_id"), uuid.UUID):
        plain["event_log_id"] = str(log_id)
    try:
        line = msgspec.convert(plain, LINES[kind])
    except msgspec.ValidationError as error:
        raise explain_shape(error, kind) from None
    return record_of(line, place)


def explain_shape(error: msgspec.ValidationError, kind: Kind) -> LineError:
    """Say what is wrong with a line that does not have its shape, without values of it."""
    message, path = str(error), None
    if parts := _PATH.fullmatch(message):
        message, path = parts[1], parts[2]
    if unknown := _UNKNOWN.fullmatch(message):
        known = _Identity if path == "identity" else LINES[kind]
        name = safe_text(unknown[1])[:60]
        others: list[Kind] = [each for each, shape in LINES.items() if name in shape.__struct_fields__]
        if others and not path:
            return LineError(f"is a field of {_owner(None, others[0])}; {others[0]} are loaded by themselves", name)
        names = [each for each in known.__struct_fields__ if each != "error"]
        return LineError(f"is no field of {_owner(path, kind)}{nearest(name, names)}", _join(path, name))
    if missing := _MISSING.fullmatch(message):
        return LineError("is missing", _join(path, missing[1]))
    if key := _KEY.search(message):
        return LineError("names must be text", key[1] or None)
    if types := _TYPES.fullmatch(message):
        wanted, got = types[1].removesuffix(" | null"), types[2]
        where = "" if path else "a line "
        return LineError(f"{where}must be {_WORDS.get(wanted, wanted)}, not {_WORDS.get(got, got)}", path)
    return LineError("is a number out of range", path)


def _owner(path: str | None, kind: Kind) -> str:
    return path or {"events": "an event", "profiles": "a profile", "identities": "an identity"}[kind]


def _join(path: str | None, name: str) -> str:
    return f"{path}.{name}" if path else name
