"""What a caller hands over, checked and encoded in the caller's task: from here on nothing that it does changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfinery_async.core import codec
from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event, Identity
from dfinery_async.runtime import clock
from dfinery_async.runtime.receipts import Receipt
from dfinery_async.values import check_properties, moment_text

__all__ = ["event_receipt", "identity_receipt", "profile_receipt"]


def event_receipt(identity: Identity | str, event: Event | str, now: float) -> tuple[bytes, Receipt]:
    """Return the user's key and the receipt of an event that is handed over at the monotonic time `now`.

    Raises:
        InvalidInputError: a value that the API has no room for.
    """
    key = codec.encode_identity(Identity.of(identity))
    event = Event.of(event)
    payload = codec.encode_event(event)
    items = 0 if event.items is None else len(event.items)
    return key, Receipt("events", payload, size=len(payload), items=items, accepted_at=now)


def identity_receipt(identity: Identity | str, now: float) -> tuple[bytes, Receipt]:
    """Return the same for the creation or update of a unified profile."""
    key = codec.encode_identity(Identity.of(identity))
    return key, Receipt("identities", None, size=len(key), moment=moment_text(clock.wall()), accepted_at=now)


def profile_receipt(identity: Identity | str, properties: Mapping[str, Any], now: float) -> tuple[bytes, Receipt]:
    """Return the same for an update of user properties."""
    key = codec.encode_identity(Identity.of(identity))
    checked = check_properties(properties, "properties")
    if not checked:
        raise InvalidInputError("a profile update needs at least one property", field="properties")
    size = len(codec.profile_body(b"", checked, ""))
    return key, Receipt("profiles", checked, size=size, moment=moment_text(clock.wall()), accepted_at=now)
