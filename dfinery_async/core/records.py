"""What the lines of a file, and the rows of a partition, become: checked values, or the reason why not.

A line is the API's own event with its identity beside it. Names in messages are the file's own (`event_properties.x`),
and no message repeats a value of the file, which may be personal.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.core.taxonomy_check import event_faults, profile_faults
from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event, Identity
from dfinery_async.redact import safe_text
from dfinery_async.values import check_properties, datetime_text

__all__ = [
    "BadLine",
    "EqualRows",
    "Kind",
    "LineError",
    "Place",
    "Record",
    "check_registered",
    "derive_log_id",
    "event_record",
    "identity_record",
    "profile_record",
]

Kind: TypeAlias = Literal["events", "identities", "profiles"]
"""What a file holds."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A good line.

    Attributes:
        identity: whose it is.
        event: the event of an events file.
        properties: the user properties of a profiles file.
    """

    identity: Identity
    event: Event | None = None
    properties: Mapping[str, Any] | None = None


class BadLine(msgspec.Struct, frozen=True):
    """A line that can't be sent.

    Attributes:
        line: its number, counted from 1; the first one where a row spans several.
        reason: what is wrong, without values of the file.
        field: where, in the file's own names.
        content: the line as an object of JSON, where it is one: for a rejects file.
        text: the line as it stands, where it is no object.
    """

    line: int
    reason: str
    field: str | None = None
    content: Mapping[str, Any] | None = None
    text: str | None = None

    def __str__(self) -> str:
        return _told(self.reason, self.field)

    def __repr__(self) -> str:
        return f"BadLine(line={self.line}, {str(self)!r})"  # content and text may be personal


class LineError(Exception):
    """What is wrong with a line, before it is known which line that is."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return _told(self.reason, self.field)


Place: TypeAlias = "int | Callable[[bytes], int]"
"""Which of all equal lines this is: its number, or a function that tells by the content."""


class EqualRows:
    """Places of rows by their content: 1 for the first of its kind, 2 for the next one that says the same.

    So the ids of a partition do not depend on the order of its rows. Costs about 80 bytes of memory a row.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._again: dict[int, int] = {}

    def __call__(self, content: bytes) -> int:
        """Return the place of a row with this content."""
        key = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
        if key not in self._seen:
            self._seen.add(key)
            return 1
        self._again[key] = place = self._again.get(key, 1) + 1
        return place


_IDS: Final = uuid.UUID("d1f1e4a6-5f0c-5e0e-9a53-6b1f7c1a90aa")
_NO_ID: Final = str(uuid.UUID(int=0))
_canonical = msgspec.json.Encoder(order="deterministic").encode


def event_record(
    place: Place,
    identity: Mapping[str, Any],
    *,
    name: str,
    moment: str | dt.datetime,
    properties: Mapping[str, Any] | None,
    items: Sequence[Mapping[str, Any]] | None,
    log_id: str | None,
) -> Record:
    """Check the parts of an event's line.

    A missing log id is derived from what the line says and from its place, not from the file's name, its spacing or the
    order of its keys: the same file gives the same ids again after a move, and two equal lines are two events.

    Raises:
        LineError: a part can't be sent.
    """
    try:
        user = Identity(**identity)
        when = _moment(moment)
        event = Event(
            name, properties=properties, items=items, datetime=when, log_id=_NO_ID if log_id is None else log_id
        )
    except InvalidInputError as error:
        raise LineError(str(error.args[0]), _file_name(error.field)) from None
    if log_id is None:
        said = (user, name, datetime_text(when, "datetime"), event.properties or None, event.items or None)
        content = _canonical(said)
        number = place if isinstance(place, int) else place(content)
        msgspec.structs.force_setattr(event, "log_id", str(uuid.uuid5(_IDS, f"{number} {content.decode()}")))
    return Record(user, event)


def profile_record(identity: Mapping[str, Any], properties: Mapping[str, Any]) -> Record:
    """Check the parts of a profile's line.

    Raises:
        LineError: a part can't be sent.
    """
    try:
        user = Identity(**identity)
        checked = check_properties(properties, "user_properties")
    except InvalidInputError as error:
        raise LineError(str(error.args[0]), error.field) from None
    if checked is None:
        raise LineError("must hold at least one property", "user_properties")
    return Record(user, properties=checked)


def identity_record(identity: Mapping[str, Any]) -> Record:
    """Check the line of an identities file.

    Raises:
        LineError: it can't be sent.
    """
    try:
        return Record(Identity(**identity))
    except InvalidInputError as error:
        raise LineError(str(error.args[0]), error.field) from None


def check_registered(record: Record, taxonomy: Taxonomy) -> None:
    """Check that a record has nothing that is not registered.

    Raises:
        LineError: what the taxonomy does not know first of all.
    """
    if record.event is not None:
        for fault in event_faults(taxonomy, record.event):
            raise LineError(fault.reason, _file_name(fault.field))
    elif record.properties is not None:
        for fault in profile_faults(taxonomy, record.properties):
            raise LineError(fault.reason, f"user_{fault.field}")


def derive_log_id(*parts: object) -> str:
    """Return an id that is made of what is the same in every run, such as the offset of a message."""
    return str(uuid.uuid5(_IDS, _canonical(parts).decode()))


def _told(reason: str, field: str | None) -> str:
    return f"{safe_text(field)}: {reason}" if field else reason


def _moment(text: str | dt.datetime) -> dt.datetime:
    try:
        moment = text if isinstance(text, dt.datetime) else dt.datetime.fromisoformat(text)
    except ValueError:
        raise LineError("must be a datetime such as 2025-03-02T04:11:09.120Z", "event_datetime") from None
    if moment.tzinfo is None:
        raise LineError("has no time zone; end it with Z for UTC, or with an offset such as +09:00", "event_datetime")
    return moment


def _file_name(field: str | None) -> str | None:
    """Turn an event's own name of a field into the file's."""
    if field is None or field.startswith(("identity", "event_")):
        return field
    return f"event_{field}"
