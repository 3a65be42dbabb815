"""What a caller hands over, checked and encoded in the caller's task: from here on nothing that it does changes it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any

from dfinery_async.core import codec
from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event, Identity
from dfinery_async.runtime import clock
from dfinery_async.runtime.receipts import Receipt
from dfinery_async.values import check_properties, moment_text

__all__ = ["check_events", "check_user_properties", "event_receipt", "identity_receipt", "profile_receipt"]


def event_receipt(
    identity: Identity | str, event: Event | str, now: float, make: Callable[..., Receipt] = Receipt
) -> tuple[bytes, Receipt]:
    """Return the user's key and the receipt of an event that is handed over.

    Args:
        identity: whose it is.
        event: the event.
        now: monotonic time.
        make: makes the receipt.

    Raises:
        InvalidInputError: a value that the API has no room for.
    """
    key = codec.encode_user(identity)
    if type(event) is not Event:
        event = Event.of(event)
    payload = codec.encode_event(event)
    items = event.items
    return key, make("events", payload, len(payload), 0 if items is None else len(items), now)


def identity_receipt(
    identity: Identity | str, now: float, make: Callable[..., Receipt] = Receipt
) -> tuple[bytes, Receipt]:
    """Return the same for the creation or update of a unified profile."""
    key = codec.encode_user(identity)
    return key, make("identities", None, len(key), 0, now, moment_text(clock.wall()))


def profile_receipt(
    identity: Identity | str, properties: Mapping[str, Any], now: float, make: Callable[..., Receipt] = Receipt
) -> tuple[bytes, Receipt]:
    """Return the same for an update of user properties."""
    key = codec.encode_user(identity)
    checked = check_user_properties(properties)
    size = len(codec.profile_body(b"", checked, ""))
    return key, make("profiles", checked, size, 0, now, moment_text(clock.wall()))


def check_events(events: Event | str | Iterable[Event | str]) -> list[Event]:
    """Return the events that `send_events` is given, each as an event."""
    if isinstance(events, Event | str):
        return [Event.of(events)]
    given: object = events  # what a caller gave may be of any type
    kind = type(given).__name__
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        way_out = "; `client.load` takes one" if isinstance(given, AsyncIterable) else ""
        raise InvalidInputError(f"must be an Event, a text, or a list of them, not {kind}{way_out}", field="events")
    checked: list[Event] = []
    for index, event in enumerate(events):
        if not isinstance(event, Event | str):
            raise InvalidInputError(f"must be an Event or a text, not {type(event).__name__}", field=f"events[{index}]")
        checked.append(Event.of(event))
    return checked


def check_user_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked copy of user properties, of which there must be some."""
    checked = check_properties(properties, "properties")
    if not checked:
        raise InvalidInputError("a profile update needs at least one property", field="properties")
    return checked
