"""Exports: what a call asks for, and the CSV that it gets ("Extracting an event", "Extract user profile").

Columns are in ascending order by name, all kinds mixed, as in both samples. An event without items or with one is one
row, and its `df_event_detail_log_id` equals its `df_event_log_id` as in the sample; of an event with several, each
item has a row, and the detail id tells them apart by a number behind. Lists are JSON text, an unset one the word
`null`; an unset Boolean is `FALSE` in event exports and empty in profile exports; all else that is unset is empty.

Where the pages are silent: a condition without a list, and a list beside `all`, filter nothing; names that nobody
knows are passed over; an unknown audience has no members.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.shapes import is_array, is_object
from dfinery_async.emulator.store import ITEM_PREFIX, Kind, looks_like_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dfinery_async.emulator.profiles import Person
    from dfinery_async.emulator.settings import Settings
    from dfinery_async.emulator.store import Store, StoredEvent

_CONDITIONS: Final = frozenset({"all", "include", "exclude"})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CHUNK_CHARACTERS: Final = 32 * 1024
_EVENT_FIELDS: Final = frozenset(
    {"events", "events_condition_type", "properties", "properties_condition_type", "from_date", "to_date"}
)
_PROFILE_FIELDS: Final = frozenset(
    {"audience", "properties", "properties_condition_type", "identities", "identities_condition_type"}
)


class RefusedExportError(Exception):
    """A query that the API answers with HTTP 400.

    Attributes:
        message: the API's message.
        field: the field at fault.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field)
        self.message = message
        self.field = field


@dataclass(frozen=True, slots=True)
class Selection:
    """A list of names with its condition type."""

    condition: str
    names: frozenset[str] | None

    def __contains__(self, name: str) -> bool:
        if self.names is None or self.condition == "all":
            return True
        return (name in self.names) == (self.condition == "include")


def export_events(body: Any, store: Store, settings: Settings) -> Iterator[bytes]:
    """The CSV of an event export.

    Raises:
        RefusedExportError: the query is refused.
    """
    query = _object(body, _EVENT_FIELDS, settings)
    names = _selection(query, "events", required=True)
    properties = _selection(query, "properties", required=False)
    first, last = _date(query, "from_date"), _date(query, "to_date")
    if first > last:
        raise RefusedExportError("invalid_parameter", "to_date")
    if settings.export_days is not None:
        today = settings.today or datetime.fromtimestamp(settings.clock(), settings.csv_zone).date()
        if first < today - timedelta(days=settings.export_days):
            raise RefusedExportError("exceed_date_range_limit", "from_date")
    visible = (settings.clock() - settings.visibility_delay) * 1000
    events, columns = store.event_view()
    columns = {name: kind for name, kind in columns.items() if name in properties}
    cells = _Cells(settings, upper=settings.csv_booleans != "lower", unset_boolean=True)

    def rows() -> Iterator[tuple[dict[str, str], list[Mapping[str, Any] | None]]]:
        for stored in events:
            if stored.arrived > visible or stored.event["event_name"] not in names:
                continue
            happened = cells.local(stored.event["event_datetime"])
            if first <= happened.date() <= last:
                system = _system_cells(stored, happened, cells, settings)
                yield from _item_rows(stored.event, system, settings)

    system_columns = (
        "df_api_version", "df_correction_datetime", "df_event_datetime", "df_event_detail_log_id", "df_event_log_id",
        settings.csv_event_name, "df_server_datetime", "df_service_id", "df_source_type", "df_unified_id",
    )  # fmt: skip
    return _csv(system_columns, columns, rows(), cells, settings)


def export_profiles(body: Any, store: Store, settings: Settings) -> Iterator[bytes]:
    """The CSV of a profile export.

    Raises:
        RefusedExportError: the query is refused.
    """
    query = _object(body, _PROFILE_FIELDS, settings)
    properties = _selection(query, "properties", required=True)
    identities = _selection(query, "identities", required=False)
    audience = query.get("audience")
    if not isinstance(audience, str | None):
        raise RefusedExportError("invalid_parameter", "audience")
    # "Only df_external_id can be exported" of the identities, and only when the call asks for them.
    asked = query.get("identities") is not None or query.get("identities_condition_type") == "all"
    with_external_id = asked and "df_external_id" in identities
    people, columns = store.profile_view()
    columns = {name: kind for name, kind in columns.items() if name in properties}
    cells = _Cells(settings, upper=settings.csv_booleans == "upper", unset_boolean=False)
    belongs = _audience(audience, settings)

    def rows() -> Iterator[tuple[dict[str, str], list[Mapping[str, Any] | None]]]:
        for person in people:
            if belongs(person):
                profile = person.profile()
                system = {"df_unified_id": profile.unified_id}
                if with_external_id:
                    system["df_external_id"] = profile.identities.get("external_id", "")
                yield system, [profile.properties, None]

    system_columns = ("df_external_id", "df_unified_id") if with_external_id else ("df_unified_id",)
    return _csv(system_columns, columns, rows(), cells, settings)


def _object(body: Any, names: frozenset[str], settings: Settings) -> dict[str, Any]:
    if not is_object(body):
        raise RefusedExportError("invalid_parameter", "")
    for name in body:
        if name not in names and settings.unknown_fields == "reject":
            raise RefusedExportError("invalid_parameter", str(name))
    return body


def _selection(query: Mapping[str, Any], field: str, *, required: bool) -> Selection:
    condition = query.get(f"{field}_condition_type", None if required else "all")
    if condition is None and not required:
        condition = "all"
    if not isinstance(condition, str) or condition not in _CONDITIONS:
        raise RefusedExportError("invalid_parameter", f"{field}_condition_type")
    names = query.get(field)
    if names is None:
        return Selection(condition, None)
    if not is_array(names) or not all(isinstance(name, str) for name in names):
        raise RefusedExportError("invalid_parameter", field)
    return Selection(condition, frozenset(names))


def _date(query: Mapping[str, Any], field: str) -> date:
    text = query.get(field)
    if not isinstance(text, str) or _DATE.fullmatch(text) is None:
        raise RefusedExportError("invalid_parameter", field)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RefusedExportError("invalid_parameter", field) from None


def _audience(audience: str | None, settings: Settings) -> Callable[[Person], bool]:
    if audience is None:
        return lambda _person: True
    members = settings.audiences.get(audience, ())
    if callable(members):
        return lambda person: members(person.profile())
    return lambda person: person.identities.get("external_id") in members


class _Cells:
    """Writes single values in the conventions of one kind of export."""

    def __init__(self, settings: Settings, *, upper: bool, unset_boolean: bool) -> None:
        self._zone = settings.csv_zone
        self._form = settings.csv_datetime
        self._true, self._false = ("TRUE", "FALSE") if upper else ("true", "false")
        self.unset: dict[Kind, str] = {
            Kind.SCALAR: "",
            Kind.BOOLEAN: self._false if unset_boolean else "",
            Kind.LIST: "null",
        }

    def local(self, text: str) -> datetime:
        """A datetime of the API in the zone of the CSV."""
        moment = datetime.fromisoformat(text)
        try:
            return moment.astimezone(self._zone)
        except OverflowError:  # the first and the last hours of the calendar
            return moment

    def moment(self, value: datetime) -> str:
        """A datetime's cell."""
        if self._form == "minutes":
            return f"{value.year}.{value.month}.{value.day} {value.hour}:{value.minute:02}"
        if self._form == "iso":
            return value.isoformat(timespec="milliseconds")
        return value.replace(tzinfo=None).isoformat(" ", "milliseconds")

    def arrival(self, milliseconds: int) -> str:
        """The cell of the time of arrival."""
        return self.moment(
            (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).astimezone(self._zone)
        )

    def value(self, value: Any) -> str:
        """A set value's cell."""
        if isinstance(value, str):
            # The server knows a Datetime by its registration; here the form of the text has to do.
            if looks_like_datetime(value):
                return self.moment(self.local(value))
            return value
        if isinstance(value, bool):
            return self._true if value else self._false
        if is_array(value):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return repr(value)


def _system_cells(stored: StoredEvent, happened: datetime, cells: _Cells, settings: Settings) -> dict[str, str]:
    event = stored.event
    log_id = event["event_log_id"]
    # Observed: the log ids of the sample begin with the time of arrival in milliseconds, some with the event's after
    # it.
    if settings.csv_log_id == "arrival":
        log_id = f"{stored.arrived}:{log_id}"
    elif settings.csv_log_id == "double":
        log_id = f"{stored.arrived}:{(happened - _EPOCH) // _MILLISECOND}:{log_id}"
    when = cells.moment(happened)
    return {
        "df_api_version": "1.0.0",
        "df_correction_datetime": when,
        "df_event_datetime": when,
        "df_event_detail_log_id": log_id,
        "df_event_log_id": log_id,
        settings.csv_event_name: event["event_name"],
        "df_server_datetime": cells.arrival(stored.arrived),
        "df_service_id": settings.service_id,
        "df_source_type": settings.source_type,
        "df_unified_id": stored.person.current.unified_id,
    }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _item_rows(
    event: Mapping[str, Any], system: dict[str, str], settings: Settings
) -> Iterator[tuple[dict[str, str], list[Mapping[str, Any] | None]]]:
    properties = event.get("event_properties")
    items = event.get("event_items") or [None]
    if len(items) == 1 or settings.item_rows == "event":
        yield system, [properties, items[0]]
        return
    for number, item in enumerate(items):
        detail = f"{system['df_event_detail_log_id']}:{number}"
        yield {**system, "df_event_detail_log_id": detail}, [properties, item]


def _csv(
    system_columns: Iterable[str],
    columns: Mapping[str, Kind],
    rows: Iterable[tuple[Mapping[str, str], list[Mapping[str, Any] | None]]],
    cells: _Cells,
    settings: Settings,
) -> Iterator[bytes]:
    """The CSV in parts: each row is its system cells, the properties, and an item whose names get the prefix."""
    header = sorted({*system_columns, *columns})
    place = {name: number for number, name in enumerate(header)}
    unset = [cells.unset[columns.get(name, Kind.SCALAR)] for name in header]
    buffer = io.StringIO(newline="")
    if settings.csv_bom:
        buffer.write("\ufeff")
    writer = csv.writer(buffer, lineterminator=settings.csv_line_end)
    writer.writerow(header)
    for system, (properties, item) in rows:
        row = unset.copy()
        for prefix, values in (("", properties), (ITEM_PREFIX, item)):
            for name, value in (values or {}).items():
                number = place.get(prefix + name)
                if number is not None and value is not None:
                    row[number] = cells.value(value)
        # Last, so that a property with a system column's name can't take its place.
        for name, cell in system.items():
            row[place[name]] = cell
        writer.writerow(row)
        if buffer.tell() >= _CHUNK_CHARACTERS:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
