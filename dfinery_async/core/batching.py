"""What fits one request, and cutting events of one user into requests that the API takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfinery_async.core import codec
from dfinery_async.core.caps import Caps
from dfinery_async.models import Event

__all__ = ["Filling", "cut_events"]


class Filling:
    """A request of one user that is being filled.

    Attributes:
        count: events in it so far.
    """

    def __init__(self, identity: bytes, caps: Caps) -> None:
        self.count: int = 0
        self._items: int = 0
        self._size: int = codec.events_overhead(identity)
        self._caps = caps

    def takes(self, items: int, size: int) -> bool:
        """Add an event if it fits. The first one always does."""
        caps = self._caps
        items += self._items
        size += self._size + 1
        if self.count and (self.count == caps.events or items > caps.items or size > caps.bytes):
            return False
        self.count += 1
        self._items, self._size = items, size
        return True


def cut_events(identity: bytes, events: Iterable[Event], caps: Caps | None = None) -> Iterator[list[bytes]]:
    """Give the encoded events of each request in turn: at most 100 events and 100 items (API guide, "Event")."""
    caps = caps or Caps()
    group, filling = list[bytes](), Filling(identity, caps)
    for event in events:
        encoded = codec.encode_event(event)
        items = len(event.items or ())
        if not filling.takes(items, len(encoded)):
            yield group
            group, filling = [], Filling(identity, caps)
            filling.takes(items, len(encoded))
        group.append(encoded)
    if group:
        yield group
