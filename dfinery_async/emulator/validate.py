"""Field by field checks of the bodies of the Import API.

The API tells no more than 40001; the emulator keeps what is wrong, and where, in the records of `Emulator.requests`.
A field of the envelope that is missing or of another type is a bad request ("Detailed response": a required parameter
is missing or badly formatted, HTTP 400); all that is wrong further inside is a validation failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.profiles import IDENTITY_FIELDS
from dfinery_async.emulator.shapes import is_array, is_object
from dfinery_async.emulator.store import looks_like_datetime

if TYPE_CHECKING:
    from collections.abc import Collection

    from dfinery_async.emulator.settings import Settings

MAX_EVENTS: Final = 100  # "Loading an event": up to 100 events
MAX_ITEMS: Final = 100  # the same page: up to 100 event items

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1  # "Data Type": Long
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_EVENT_FIELDS: Final = frozenset({"event_log_id", "event_name", "event_datetime", "event_properties", "event_items"})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a body.

    Attributes:
        field: path of the field, such as `events[3].event_properties.df_price`.
        what: what is wrong with it.
    """

    field: str
    what: str


@dataclass(slots=True)
class Findings:
    """What a check has found.

    Attributes:
        bad_request: problems of the envelope.
        problems: problems of the request as a whole.
        by_event: problems of single events, by place.
    """

    bad_request: list[Problem] = field(default_factory=list[Problem])
    problems: list[Problem] = field(default_factory=list[Problem])
    by_event: dict[int, list[Problem]] = field(default_factory=dict[int, list[Problem]])

    def all(self) -> list[Problem]:
        """All problems, in order of the body."""
        return [
            *self.bad_request,
            *self.problems,
            *(each for place in sorted(self.by_event) for each in self.by_event[place]),
        ]


def check_events(body: Any, settings: Settings) -> Findings:
    """Check a body of `/api/v1/events` that has at most 100 events."""
    found = Findings()
    if not _has_envelope(body, {"common": dict, "events": list}, found, settings):
        return found
    common, events = body["common"], body["events"]
    if "identity" not in common or not is_object(common["identity"]):
        found.bad_request.append(Problem("common.identity", "missing, or no object"))
        return found
    found.problems += _check_names(common, {"identity"}, "common", settings)
    found.problems += check_identity(common["identity"], "common.identity", settings)
    if not events:
        found.problems.append(Problem("events", "empty; a request takes 1 to 100 events"))
    total = 0
    for place, event in enumerate(events):
        problems = check_event(event, f"events[{place}]", settings)
        if problems:
            found.by_event[place] = problems
        elif settings.items_limit == "request":
            total += len(event.get("event_items") or ())
    if total > MAX_ITEMS:
        found.problems.append(Problem("events", f"{total} items in one request; at most {MAX_ITEMS}"))
    return found


def check_identity_body(body: Any, settings: Settings) -> Findings:
    """Check a body of `/api/v1/identities`."""
    found = Findings()
    if _has_envelope(body, {"identity": dict, "request_datetime": object}, found, settings):
        found.problems += check_identity(body["identity"], "identity", settings)
        found.problems += _check_datetime(body["request_datetime"], "request_datetime")
    return found


def check_deletion(body: Any, settings: Settings) -> Findings:
    """Check a body of `/api/v1/identities/delete`, where the external id is required."""
    found = check_identity_body(body, settings)
    if not found.bad_request and not body["identity"].get("external_id"):
        found.problems.append(Problem("identity.external_id", "missing; a deletion needs it"))
    return found


def check_profile(body: Any, settings: Settings) -> Findings:
    """Check a body of `/api/v1/user-profile`."""
    found = Findings()
    if _has_envelope(body, {"identity": dict, "user_properties": dict, "request_datetime": object}, found, settings):
        found.problems += check_identity(body["identity"], "identity", settings)
        found.problems += _check_properties(body["user_properties"], "user_properties", settings)
        if not body["user_properties"]:
            found.problems.append(Problem("user_properties", "empty"))
        found.problems += _check_datetime(body["request_datetime"], "request_datetime")
    return found


def check_event(event: Any, path: str, settings: Settings) -> list[Problem]:
    """Check one event."""
    if not is_object(event):
        return [Problem(path, "no object")]
    log_id = event.get("event_log_id")
    problems: list[Problem] = []
    if not isinstance(log_id, str) or _UUID.fullmatch(log_id) is None:
        problems.append(Problem(f"{path}.event_log_id", "no UUID"))
    name = event.get("event_name")
    if not isinstance(name, str) or not name:
        problems.append(Problem(f"{path}.event_name", "missing, empty or no string"))
    elif not _is_text(name):
        problems.append(Problem(f"{path}.event_name", "a lone surrogate"))
    problems += _check_datetime(event.get("event_datetime"), f"{path}.event_datetime")
    properties = event.get("event_properties")
    if properties is not None:
        problems += _check_properties(properties, f"{path}.event_properties", settings)
    items = event.get("event_items")
    if items is not None:
        problems += _check_items(items, f"{path}.event_items", settings)
    if not _EVENT_FIELDS.issuperset(event):
        problems += _check_names(event, _EVENT_FIELDS, path, settings)
    return problems


def check_identity(identity: dict[str, Any], path: str, settings: Settings) -> list[Problem]:
    """Check an identity: "at least one of the fields" holds a value."""
    problems = _check_names(identity, IDENTITY_FIELDS, path, settings)
    values = 0
    for name in IDENTITY_FIELDS:
        value = identity.get(name, "")
        if isinstance(value, str):
            values += value != ""
            if not _is_text(value):
                problems.append(Problem(f"{path}.{name}", "a lone surrogate"))
        elif value is not None or settings.null_values == "reject":
            problems.append(Problem(f"{path}.{name}", "no string"))
    if not values:
        problems.append(Problem(path, "no field has a value"))
    return problems


def _has_envelope(body: Any, types: dict[str, type], found: Findings, settings: Settings) -> bool:
    if not is_object(body):
        found.bad_request.append(Problem("", "the body is no object"))
        return False
    for name, expected in types.items():
        if name not in body:
            found.bad_request.append(Problem(name, "missing"))
        elif not isinstance(body[name], expected):
            found.bad_request.append(Problem(name, "no array" if expected is list else "no object"))
    found.problems += _check_names(body, types, "", settings)
    return not found.bad_request


def _check_names(value: dict[str, Any], names: Collection[str], path: str, settings: Settings) -> list[Problem]:
    if settings.unknown_fields == "accept":
        return []
    return [Problem(f"{path}.{name}".lstrip("."), "not a field of the API") for name in value if name not in names]


def _check_items(items: Any, path: str, settings: Settings) -> list[Problem]:
    if not is_array(items):
        return [Problem(path, "no array")]
    problems = [
        problem for place, item in enumerate(items) for problem in _check_properties(item, f"{path}[{place}]", settings)
    ]
    # More than that in one event is too much whichever way the page is read.
    if len(items) > MAX_ITEMS:
        problems.append(Problem(path, f"{len(items)} items; at most {MAX_ITEMS}"))
    return problems


def _check_properties(properties: Any, path: str, settings: Settings) -> list[Problem]:
    if not is_object(properties):
        return [Problem(path, "no object")]
    problems: list[Problem] = []
    for name, value in properties.items():
        if not name or not _is_text(name):
            problems.append(Problem(path, "an empty name, or a lone surrogate in one"))
        what = _wrong(value, settings)
        if what is not None:
            problems.append(Problem(f"{path}.{name}", what))
    return problems


def _wrong(value: Any, settings: Settings) -> str | None:
    """What makes a value none of the types of "Data Type"."""
    if value is None:
        return "null" if settings.null_values == "reject" else None
    if is_array(value):
        return _wrong_array(value)
    return _wrong_scalar(value)


def _wrong_scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _is_text(value) else "a lone surrogate"
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if _LONG_MIN <= value <= _LONG_MAX else "outside a 64-bit Long"
    if isinstance(value, float):
        return None if isfinite(value) else "not a finite number"
    return "a nested object"


def _wrong_array(values: list[Any]) -> str | None:
    """Arrays hold strings, Longs or Doubles; integers among Doubles are Doubles, as in the event sample."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return "an array of other than strings or numbers"
        what = _wrong_scalar(value)
        if what is not None:
            return f"an array with a value {what}"
    if len({isinstance(value, str) for value in values}) > 1:
        return "an array of mixed kinds"
    return None


def _check_datetime(value: Any, path: str) -> list[Problem]:
    if not isinstance(value, str) or not looks_like_datetime(value):
        return [Problem(path, "no datetime of the form yyyy-MM-dd'T'HH:mm:ss(.SSS)Z")]
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return [Problem(path, "no date or time of the calendar")]
    return []


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
