"""What is registered in the console.

"Get started": only registered events and user attributes are loaded. The pages on the SDKs add that an event with an
unregistered property is not recorded, nor a profile with an unregistered attribute; how the API answers no page says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from dfinery_async.emulator.shapes import is_object

# Made by the SDKs on their own: "System events need no registration".
_SYSTEM_EVENTS = frozenset({"df_start_session", "df_end_session"})
# Registered with the service: "Profile: Get started".
_CONSENTS = frozenset(
    {"df_kakao_ads_optin", "df_push_ads_optin", "df_push_night_ads_optin", "df_push_optin", "df_sms_ads_optin"}
)


class Registry:
    """Registered names; None where everything is."""

    def __init__(self, taxonomy: Mapping[str, Any] | Collection[str] | None) -> None:
        lists: Mapping[str, Any]
        if taxonomy is None:
            lists = {}
        elif isinstance(taxonomy, Mapping):
            lists = cast("Mapping[str, Any]", taxonomy)
        else:
            lists = {"events": taxonomy}
        self._events = _names(lists.get("events"), _SYSTEM_EVENTS)
        self._event_properties = _names(lists.get("event_properties"))
        self._item_properties = _names(lists.get("item_properties"))
        self._user_properties = _names(lists.get("user_properties"), _CONSENTS)

    def missing_in_event(self, event: Mapping[str, Any]) -> str | None:
        """The first field of a valid event whose name is not registered."""
        if self._events is not None and event["event_name"] not in self._events:
            return "event_name"
        for name in _unknown(event.get("event_properties"), self._event_properties):
            return f"event_properties.{name}"
        for place, item in enumerate(event.get("event_items") or ()):
            for name in _unknown(item, self._item_properties):
                return f"event_items[{place}].{name}"
        return None

    def missing_in_profile(self, properties: Mapping[str, Any]) -> str | None:
        """The first user property that is not registered."""
        for name in _unknown(properties, self._user_properties):
            return f"user_properties.{name}"
        return None


def _names(entries: Iterable[Any] | None, always: frozenset[str] = frozenset()) -> frozenset[str] | None:
    if entries is None:
        return None
    return always.union(str(entry["name"] if is_object(entry) else entry) for entry in entries)


def _unknown(properties: Mapping[str, Any] | None, names: frozenset[str] | None) -> list[str]:
    if names is None or not properties:
        return []
    return [name for name in properties if name not in names]
