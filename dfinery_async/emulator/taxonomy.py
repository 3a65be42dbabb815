"""What is registered in the console.

"Get started": only registered events and user attributes are loaded. The pages on the SDKs add that an event with an
unregistered or mistyped property is not recorded, nor a profile with such an attribute; how the API answers no page
says.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

from dfinery_async.emulator.shapes import is_object

# Made by the SDKs on their own: "System events need no registration".
_SYSTEM_EVENTS = frozenset({"df_start_session", "df_end_session"})
# Registered with the service: "Profile: Get started".
_CONSENTS = frozenset(
    {"df_kakao_ads_optin", "df_push_ads_optin", "df_push_night_ads_optin", "df_push_optin", "df_sms_ads_optin"}
)


class Registry:
    """Registered names with their types; None where everything is registered."""

    def __init__(self, taxonomy: Mapping[str, Any] | Collection[str] | None) -> None:
        lists: Mapping[str, Any]
        if taxonomy is None:
            lists = {}
        elif isinstance(taxonomy, Mapping):
            lists = cast("Mapping[str, Any]", taxonomy)
        else:
            lists = {"events": taxonomy}
        self._events = _entries(lists.get("events"), _SYSTEM_EVENTS)
        self._event_properties = _entries(lists.get("event_properties"))
        self._item_properties = _entries(lists.get("item_properties"))
        self._user_properties = _entries(lists.get("user_properties"), _CONSENTS)

    def problem_in_event(self, event: Mapping[str, Any]) -> tuple[str, str] | None:
        """The first field of a valid event that is not as it is registered, and why."""
        if self._events is not None and event["event_name"] not in self._events:
            return "event_name", f"not registered{_nearest(event['event_name'], self._events)}"
        if problem := _problem(event.get("event_properties"), self._event_properties, "event_properties"):
            return problem
        for place, item in enumerate(event.get("event_items") or ()):
            if problem := _problem(item, self._item_properties, f"event_items[{place}]"):
                return problem
        return None

    def problem_in_profile(self, properties: Mapping[str, Any]) -> tuple[str, str] | None:
        """The first user property that is not as it is registered, and why."""
        return _problem(properties, self._user_properties, "user_properties")


def _entries(entries: Iterable[Any] | None, always: Iterable[str] = ()) -> dict[str, str | None] | None:
    """Return the type of each name, None where none is told."""
    if entries is None:
        return None
    types: dict[str, str | None] = dict.fromkeys(always)
    for entry in entries:
        if is_object(entry):
            types[str(entry["name"])] = entry.get("type")
        else:
            types[str(entry)] = None
    return types


def _problem(
    properties: Mapping[str, Any] | None, types: Mapping[str, str | None] | None, where: str
) -> tuple[str, str] | None:
    if types is None:
        return None
    for name, value in (properties or {}).items():
        if name not in types:
            return f"{where}.{name}", f"not registered{_nearest(name, types)}"
        fits = _FITS.get(types[name] or "")
        if fits is not None and value is not None and not fits(value):
            return f"{where}.{name}", f"registered as {types[name]}"
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    alike = difflib.get_close_matches(name, list(known), n=1)
    return f"; {alike[0]} is" if alike else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_long(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _all(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, cast("list[object]", value)))


# "Data Type". Dates and datetimes are texts in JSON; their form is checked with every request, registered or not.
_FITS: Mapping[str, Callable[[object], bool]] = {
    "String": _is_text,
    "Long": _is_long,
    "Double": _is_number,
    "Boolean": lambda value: isinstance(value, bool),
    "Datetime": _is_text,
    "Date": _is_text,
    "Array of String": _all(_is_text),
    "Array of Long": _all(_is_long),
    "Array of Double": _all(_is_number),
}
