"""What tests of lanes share: works, and short ways to hand them over and take them."""

from __future__ import annotations

from collections.abc import Iterable

from dfinery_async.config import Family
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.work import Batch, Work


def event(number: int = 0, *, at: float = 0.0, items: int = 0, size: int = 10) -> Work:
    return Work("events", b"%d" % number, size=size, items=items, accepted_at=at)


def profile(*, at: float = 0.0, **properties: object) -> Work:
    return Work("profiles", properties, size=10, moment="2025-01-01T00:00:00.000Z", accepted_at=at)


def identity(*, at: float = 0.0) -> Work:
    return Work("identities", None, size=10, moment="2025-01-01T00:00:00.000Z", accepted_at=at)


def fill(lanes: Lanes, key: bytes, works: Iterable[Work]) -> list[Work]:
    listed = list(works)
    for work in listed:
        lanes.add(key, work, work.accepted_at)
    return listed


def must_take(lanes: Lanes, family: Family = "events", now: float = 0.0) -> Batch:
    batch = lanes.take(family, now)
    assert batch is not None
    return batch
