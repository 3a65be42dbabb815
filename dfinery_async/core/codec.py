"""Bodies of requests: the API's JSON, written once per value.

An event is encoded when it is accepted; a request's body is a join of such pieces, so that a retry sends the same
bytes. Field order, and `null` for what is absent, follow the vendor's samples.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dfinery_async.models import Event, Identity
from dfinery_async.values import datetime_text

__all__ = [
    "decode_event",
    "decode_identity",
    "encode_event",
    "encode_identity",
    "encode_user",
    "events_body",
    "events_overhead",
    "export_body",
    "identity_body",
    "profile_body",
]

_encode = msgspec.json.Encoder().encode


class _WireEvent(msgspec.Struct, gc=False):
    event_log_id: str
    event_name: str
    event_datetime: str
    event_properties: Mapping[str, Any] | None
    event_items: Any


def encode_identity(identity: Identity) -> bytes:
    """Encode an identity. Equal identities give equal bytes, so this is also the key of a user's lane."""
    return _encode(identity)


def encode_user(user: Identity | str) -> bytes:
    """Encode an identity, or a plain text as the identity that it stands for."""
    if type(user) is str and user and user.isascii():
        return b'{"external_id":%b}' % _encode(user)
    return encode_identity(Identity.of(user))


def encode_event(event: Event) -> bytes:
    """Encode one event as an element of a request's `events`."""
    moment = datetime_text(event.datetime, "datetime")
    return _encode(_WireEvent(event.log_id, event.name, moment, event.properties, event.items))


def decode_identity(encoded: bytes) -> Identity:
    """Read back what `encode_identity` wrote."""
    return msgspec.json.decode(encoded, type=Identity)


def decode_event(encoded: bytes) -> Event:
    """Read back what `encode_event` wrote: events wait encoded, and only a refused one is looked at again."""
    wire = msgspec.json.decode(encoded, type=_WireEvent)
    return Event(
        wire.event_name,
        properties=wire.event_properties,
        items=wire.event_items,
        datetime=dt.datetime.fromisoformat(wire.event_datetime),
        log_id=wire.event_log_id,
    )


def events_body(identity: bytes, events: Iterable[bytes]) -> bytes:
    """Join encoded events of one user into a request's body."""
    return b'{"common":{"identity":%b},"events":[%b]}' % (identity, b",".join(events))


def events_overhead(identity: bytes) -> int:
    """Bytes that `events_body` adds around its events when each of them is counted with a comma."""
    return len(identity) + 35


def identity_body(identity: bytes, request_datetime: str) -> bytes:
    """Body of a call that creates, updates or deletes a unified profile."""
    return b'{"identity":%b,"request_datetime":%b}' % (identity, _encode(request_datetime))


def profile_body(identity: bytes, properties: Mapping[str, Any], request_datetime: str) -> bytes:
    """Body of a call that sets user properties."""
    return b'{"identity":%b,"user_properties":%b,"request_datetime":%b}' % (
        identity,
        _encode(properties),
        _encode(request_datetime),
    )


def export_body(filters: Mapping[str, Any]) -> bytes:
    """Body of an export call."""
    return _encode(filters)
