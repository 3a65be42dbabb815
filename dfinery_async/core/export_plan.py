"""Which calls an export is made of, and what they ask for.

API guide, "Extracting an event" and "Extract user profile".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from dfinery_async.core.codec import export_body
from dfinery_async.errors import InvalidInputError
from dfinery_async.values import check_text

__all__ = ["MAX_DAYS_PER_CALL", "ExportCall", "event_export_calls", "profile_export_call", "split_days"]

MAX_DAYS_PER_CALL = 30
"""Days that one call covers at the most, both ends included (API guide: data of up to 30 days before today)."""


class ExportCall(msgspec.Struct, frozen=True):
    """One call of an export.

    Attributes:
        body: the request.
        first: the first day that it asks for, of an export of events.
        last: the last day, included.
    """

    body: bytes
    first: dt.date | None = None
    last: dt.date | None = None


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EXPORTED_IDENTITY = "df_external_id"


def event_export_calls(
    from_date: dt.date | str,
    to_date: dt.date | str,
    *,
    events: Iterable[str] | None = None,
    exclude_events: Iterable[str] | None = None,
    properties: Iterable[str] | None = None,
    exclude_properties: Iterable[str] | None = None,
    days_per_call: int = MAX_DAYS_PER_CALL,
) -> list[ExportCall]:
    """Return the calls that export the events of a range of days, in the order of days.

    Args:
        from_date: first day, a date or `yyyy-MM-dd`.
        to_date: last day, included.
        events: only these; all by default. One name may be given as plain text.
        exclude_events: all but these.
        properties: only these; all by default. Those of items carry the prefix `df_items_`.
        exclude_properties: all but these.
        days_per_call: days that one call covers, 1 to 30.

    Raises:
        InvalidInputError: a date that is none, a range that runs backwards, names that are no text, or a list given
            both ways; it names the argument.
    """
    filters = _filter("events", events, exclude_events) | _filter("properties", properties, exclude_properties)
    return [
        ExportCall(export_body({**filters, "from_date": first.isoformat(), "to_date": last.isoformat()}), first, last)
        for first, last in split_days(from_date, to_date, days_per_call)
    ]


def profile_export_call(
    *,
    audience: str | None = None,
    properties: Iterable[str] | None = None,
    exclude_properties: Iterable[str] | None = None,
    identities: Iterable[str] | bool | None = None,
) -> ExportCall:
    """Return the call that exports profiles.

    Args:
        audience: id of the audience whose users are exported; all users by default.
        properties: only these; all by default.
        exclude_properties: all but these.
        identities: `True` for the column `df_external_id`, the only identity that the API exports; or its name.

    Raises:
        InvalidInputError: names that are no text, a list given both ways, or another identity; it names the argument.
    """
    filters = _filter("properties", properties, exclude_properties)
    if audience is not None:
        filters["audience"] = check_text(audience, "audience")
    if identities is not None and identities is not False:
        _check_identities(identities)
        # Sent only when asked for: not every version of the vendor's page knows these fields.
        filters["identities"] = [_EXPORTED_IDENTITY]
        filters["identities_condition_type"] = "include"
    return ExportCall(export_body(filters))


def split_days(from_date: dt.date | str, to_date: dt.date | str, days_per_call: int) -> list[tuple[dt.date, dt.date]]:
    """Divide a range of days, both ends included, into ranges of at most `days_per_call` days.

    Raises:
        InvalidInputError: a date that is none, a range that runs backwards, or a length outside 1 to 30.
    """
    first, last = _date(from_date, "from_date"), _date(to_date, "to_date")
    if last < first:
        raise InvalidInputError("lies before from_date", field="to_date")
    if type(days_per_call) is not int or not 1 <= days_per_call <= MAX_DAYS_PER_CALL:
        raise InvalidInputError(f"must be a whole number from 1 to {MAX_DAYS_PER_CALL}", field="days_per_call")
    starts = range(first.toordinal(), last.toordinal() + 1, days_per_call)
    return [
        (
            dt.date.fromordinal(start),
            min(last, dt.date.fromordinal(min(start + days_per_call, last.toordinal() + 1) - 1)),
        )
        for start in starts
    ]


def _date(value: object, field: str) -> dt.date:
    if isinstance(value, dt.datetime):
        # Which day a moment belongs to depends on a time zone that only the caller knows.
        raise InvalidInputError(
            "must be a date, not a datetime; take its .date() in the time zone you mean", field=field
        )
    if isinstance(value, dt.date):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidInputError("must be a date, or a text such as 2025-03-01", field=field)


def _filter(field: str, include: Iterable[str] | None, exclude: Iterable[str] | None) -> dict[str, Any]:
    """Make a list's fields. The condition type is always sent: whether it may be absent differs between the calls."""
    if include is not None and exclude is not None:
        raise InvalidInputError(f"give either this or {field}, not both", field=f"exclude_{field}")
    condition = f"{field}_condition_type"
    if include is not None:
        names = _names(include, field)
        if not names:
            raise InvalidInputError("must not be empty; leave it out for all", field=field)
        return {field: names, condition: "include"}
    if exclude is not None and (names := _names(exclude, f"exclude_{field}")):
        return {field: names, condition: "exclude"}
    return {condition: "all"}


def _names(names: object, field: str) -> list[str]:
    if isinstance(names, str):
        return [check_text(names, field)]
    kind = type(names)
    if issubclass(kind, bytes | Mapping) or not isinstance(names, Iterable):
        raise InvalidInputError(f"must be a list of names, not {kind.__name__}", field=field)
    listed = cast("Iterable[object]", names)
    return list(dict.fromkeys(check_text(name, f"{field}[{index}]") for index, name in enumerate(listed)))


def _check_identities(identities: Iterable[str] | bool) -> None:  # noqa: FBT001 - the contract's argument
    if identities is True:
        return
    names = _names(identities, "identities") if not isinstance(identities, bool) else []
    if names != [_EXPORTED_IDENTITY]:
        raise InvalidInputError(f"the API exports no identity but {_EXPORTED_IDENTITY}; give True", field="identities")
