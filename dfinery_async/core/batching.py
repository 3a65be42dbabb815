"""What fits one request, and cutting events of one user into requests that the API takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfinery_async.core import codec
from dfinery_async.core.caps import Caps
from dfinery_async.models import Event

__all__ = ["Filling", "cut_events"]


class Filling:
    """The request of one user that is being filled, by its figures alone.

    Args:
        identity: the user's encoded identity.

    Attributes:
        requests: begun so far, this one included.
    """

    __slots__ = ("_count", "_empty", "_items", "_size", "requests")

    def __init__(self, identity: bytes) -> None:
        self.requests: int = 0
        self._empty = codec.events_overhead(identity)
        self._count = self._items = self._size = 0

    def add(self, size: int, items: int, caps: Caps) -> bool:
        """Count one more in. Returns whether it begins a request, as the one before has no room for it."""
        self._count += 1
        self._items += items
        self._size += size + 1
        if self.requests and self._count <= caps.events and self._items <= caps.items and self._size <= caps.bytes:
            return False
        self.requests += 1
        self._count, self._items, self._size = 1, items, self._empty + size + 1
        return True


def cut_events(identity: bytes, events: Iterable[Event], caps: Caps | None = None) -> Iterator[list[bytes]]:
    """Give the encoded events of each request in turn: at most 100 events and 100 items (API guide, "Event")."""
    caps = caps or Caps()
    filling = Filling(identity)
    group: list[bytes] = []
    for event in events:
        encoded = codec.encode_event(event)
        if filling.add(len(encoded), len(event.items or ()), caps) and group:
            yield group
            group = []
        group.append(encoded)
    if group:
        yield group
