"""Cutting events of one user into requests that the API takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfinery_async.core import codec
from dfinery_async.core.caps import Caps
from dfinery_async.models import Event

__all__ = ["cut_events"]


def cut_events(identity: bytes, events: Iterable[Event], caps: Caps | None = None) -> Iterator[list[bytes]]:
    """Give the encoded events of each request in turn: at most 100 events and 100 items (API guide, "Event")."""
    caps = caps or Caps()
    group: list[bytes] = []
    items, size = 0, codec.events_overhead(identity)
    for event in events:
        encoded = codec.encode_event(event)
        more_items = len(event.items or ())
        if group and (
            len(group) == caps.events or items + more_items > caps.items or size + len(encoded) + 1 > caps.bytes
        ):
            yield group
            group, items, size = [], 0, codec.events_overhead(identity)
        group.append(encoded)
        items += more_items
        size += len(encoded) + 1
    if group:
        yield group
