"""Units of work, and the requests that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dfinery_async.config import Family
from dfinery_async.core import codec
from dfinery_async.core.endpoints import EVENTS, IDENTITIES, PROFILES, Endpoint

__all__ = ["Batch", "Work"]

_ENDPOINTS: dict[Family, Endpoint] = {"events": EVENTS, "identities": IDENTITIES, "profiles": PROFILES}


class Work(msgspec.Struct, eq=False):
    """One accepted `track`, `set_profile` or `identify`.

    Attributes:
        family: which call carries it.
        payload: an encoded event, or a profile's properties, or nothing for an identity.
        size: encoded size in bytes, for bounds.
        items: items of an event.
        accepted_at: monotonic time.
        moment: when a profile or identity was handed in, as the API's text; empty for events.
        epoch: which flushes cover it.
        seq: its number in the spool while it waits on disk as well, negative when it need not any more; 0 without.
    """

    family: Family
    payload: Any
    size: int
    items: int = 0
    accepted_at: float = 0.0
    moment: str = ""
    epoch: int = 0
    seq: int = 0


class Batch(msgspec.Struct, eq=False):
    """Neighbouring works of one kind and one user: what one request carries.

    Attributes:
        key: the user's encoded identity.
        works: in order.
        attempts: requests made with its works so far.
        failures: attempts in a row that ended in passing trouble; they set the backoff.
        launched_at: monotonic time of the last attempt.
        resent: whether it was sent again at once after a stale connection.
    """

    key: bytes
    works: Sequence[Work]
    attempts: int = 0
    failures: int = 0
    launched_at: float = 0.0
    resent: bool = False

    @property
    def endpoint(self) -> Endpoint:
        """Where it goes."""
        return _ENDPOINTS[self.works[0].family]

    def body(self) -> bytes:
        """Return the request's body: the same bytes for the same works, however often it is sent."""
        works = self.works
        last = works[-1]
        if last.family == "events":
            return codec.events_body(self.key, [work.payload for work in works] if len(works) > 1 else [last.payload])
        if last.family == "identities":
            return codec.identity_body(self.key, last.moment)
        merged: dict[str, Any] = {}
        for work in self.works:
            merged.update(work.payload)
        return codec.profile_body(self.key, merged, last.moment)

    def halves(self) -> tuple[Batch, Batch]:
        """Divide it, the left half first, so that a bad unit comes to stand alone."""
        middle = (len(self.works) + 1) // 2
        return (
            Batch(self.key, self.works[:middle], self.attempts),
            Batch(self.key, self.works[middle:], self.attempts),
        )
