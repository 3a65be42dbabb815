"""What the emulator has taken in: events in order of arrival, and the people whom they belong to."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from dfinery_async.emulator.profiles import People
from dfinery_async.emulator.shapes import is_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dfinery_async.emulator.profiles import Known, Person, Profile


class Kind(Enum):
    """Kinds of columns that write an unset value in different ways."""

    SCALAR = "scalar"
    BOOLEAN = "boolean"
    LIST = "list"


ITEM_PREFIX: Final = "df_items_"

# Registered in every service; the columns of the event sample in "Extracting an event", without the custom ones.
_STANDARD_EVENT_PROPERTIES = (
    "df_delivery_charge",
    "df_discount",
    "df_keyword",
    "df_order_id",
    "df_payment_method",
    "df_sharing_channel",
    "df_sign_channel",
    "df_total_purchase_amount",
    "df_total_refund_amount",
)
_STANDARD_ITEM_PROPERTIES = (
    *(f"df_category{number}" for number in range(1, 6)),
    "df_discount",
    "df_item_id",
    "df_item_name",
    "df_price",
    "df_quantity",
)
_STANDARD_USER_PROPERTIES: Mapping[str, Kind] = {
    "df_birth": Kind.SCALAR,
    "df_gender": Kind.SCALAR,
    "df_kakao_ads_optin": Kind.BOOLEAN,
    "df_membership": Kind.SCALAR,
    "df_name": Kind.SCALAR,
    "df_push_ads_optin": Kind.BOOLEAN,
    "df_push_night_ads_optin": Kind.BOOLEAN,
    "df_push_optin": Kind.BOOLEAN,
    "df_sms_ads_optin": Kind.BOOLEAN,
}

_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z")


def looks_like_datetime(text: str) -> bool:
    """Whether a text has the form of the API's Datetime ("Data Type"): `yyyy-MM-dd'T'HH:mm:ss(.SSS)Z`."""
    return _DATETIME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that was taken.

    Attributes:
        event: the event as it was sent, with its identity beside.
        person: the profile that it belongs to.
        arrived: when it came, in milliseconds since 1970.
        together: how many events its request stored.
    """

    event: dict[str, Any]
    person: Person
    arrived: int
    together: int


class Columns:
    """Names and kinds of the columns that exports have: the standard ones, and others as they are first seen."""

    def __init__(self) -> None:
        self.event: dict[str, Kind] = dict.fromkeys(_STANDARD_EVENT_PROPERTIES, Kind.SCALAR)
        self.item: dict[str, Kind] = dict.fromkeys(_STANDARD_ITEM_PROPERTIES, Kind.SCALAR)
        self.user: dict[str, Kind] = dict(_STANDARD_USER_PROPERTIES)

    @staticmethod
    def learn(columns: dict[str, Kind], properties: Mapping[str, Any]) -> None:
        """Add the names that are new. The kind is that of the first value; a null value has none."""
        for name, value in properties.items():
            if name not in columns and value is not None:
                boolean = isinstance(value, bool)
                columns[name] = Kind.BOOLEAN if boolean else Kind.LIST if is_array(value) else Kind.SCALAR


class Store:
    """Events and profiles. Server and test threads share it, so each method locks.

    Attributes:
        changes: how often something was changed.
    """

    def __init__(self, seed: int) -> None:
        self.changes: int = 0
        self._lock = threading.Lock()
        self._seed = seed
        self._clear()

    def _clear(self) -> None:
        self._events: list[StoredEvent] = []
        self._seen: set[str] = set()
        self._people = People(self._seed)
        self._columns = Columns()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.changes += 1
            self._clear()

    def add_events(
        self, identity: dict[str, str], events: Sequence[Mapping[str, Any]], *, arrived: int, unique: bool
    ) -> None:
        """Take the events of one request; `unique` leaves out those whose log id was taken before."""
        with self._lock:
            self.changes += 1
            person = self._people.find(identity)
            for event in events:
                log_id = event["event_log_id"].lower()
                if unique and log_id in self._seen:
                    continue
                self._seen.add(log_id)
                self._append({**event, "identity": identity}, person, arrived, len(events))

    def upsert(self, identity: Mapping[str, str]) -> None:
        """Create or update a unified profile."""
        with self._lock:
            self.changes += 1
            self._people.find(identity)

    def update(self, identity: Mapping[str, str], properties: Mapping[str, Any]) -> None:
        """Set user properties."""
        with self._lock:
            self.changes += 1
            self._people.update(identity, properties)
            Columns.learn(self._columns.user, properties)

    def delete(self, external_id: str) -> None:
        """Delete a unified profile."""
        with self._lock:
            self.changes += 1
            self._people.delete(external_id)

    def events(self) -> list[dict[str, Any]]:
        """All events in order of arrival."""
        with self._lock:
            return [stored.event for stored in self._events]

    def profiles(self) -> list[Profile]:
        """All profiles in order of creation."""
        with self._lock:
            return [person.profile() for person in self._people]

    def content(self) -> tuple[Known, list[StoredEvent]]:
        """All that is kept now: the people, and the events."""
        with self._lock:
            return self._people.known(), list(self._events)

    def restore_person(self, person: Person, *, alive: bool) -> None:
        """Bring back a person of an earlier run."""
        with self._lock:
            self._people.restore(person, alive=alive)
            Columns.learn(self._columns.user, person.profile().properties)

    def restore_event(self, event: dict[str, Any], person: Person, arrived: int, together: int) -> None:
        """Bring back an event of an earlier run."""
        with self._lock:
            self._seen.add(event["event_log_id"].lower())
            self._append(event, person, arrived, together)

    def event_view(self) -> tuple[Iterator[StoredEvent], dict[str, Kind]]:
        """For an export: the events that are there now, and the columns of their properties and items.

        The list only ever grows (`reset` begins another one), so the export reads its head without a copy of it.
        """
        with self._lock:
            items = {f"{ITEM_PREFIX}{name}": kind for name, kind in self._columns.item.items()}
            return islice(self._events, len(self._events)), {**self._columns.event, **items}

    def profile_view(self) -> tuple[list[Person], dict[str, Kind]]:
        """For an export: the people that are there now, and the columns of their properties."""
        with self._lock:
            return list(self._people), dict(self._columns.user)

    def newest(self, before: int | None = None) -> Iterator[tuple[int, StoredEvent]]:
        """The events with their numbers from 1 on, the newest first, those below `before` only."""
        with self._lock:
            events = self._events
            last = len(events) if before is None else min(len(events), before - 1)
        # The list only ever grows, as in `event_view`.
        return ((place + 1, events[place]) for place in range(last - 1, -1, -1))

    def newest_profiles(self, before: int | None = None) -> Iterator[tuple[int, Profile]]:
        """The profiles with their numbers from 1 on, the last that were made first, those below `before` only."""
        with self._lock:
            people = list(self._people)
        last = len(people) if before is None else min(len(people), before - 1)
        for place in range(last - 1, -1, -1):
            with self._lock:
                profile = people[place].profile()
            yield place + 1, profile

    def sizes(self) -> tuple[int, int]:
        """How many events and how many profiles there are."""
        with self._lock:
            return len(self._events), len(self._people)

    def _append(self, event: dict[str, Any], person: Person, arrived: int, together: int) -> None:
        self._events.append(StoredEvent(event, person, arrived, together))
        if properties := event.get("event_properties"):
            Columns.learn(self._columns.event, properties)
        for item in event.get("event_items") or ():
            Columns.learn(self._columns.item, item)
