"""One user's lane: what waits, in order, and what must be repeated before it."""

from __future__ import annotations

import math
from typing import TypeAlias

from dfinery_async.config import Family
from dfinery_async.core import codec
from dfinery_async.core.ready import Ready
from dfinery_async.core.work import Batch, Work

__all__ = ["NEVER", "Kind", "Lane"]

Kind: TypeAlias = tuple[Family, bool]
"""Family of what goes next, and whether it is a retry."""
NEVER = math.inf


class Lane:  # no msgspec.Struct: setting an attribute of one takes six times as long
    """What is known of one user who has work.

    Args:
        key: the user's encoded identity.
    """

    __slots__ = (
        "among",
        "due",
        "front",
        "in_air",
        "items",
        "key",
        "level",
        "mixed",
        "place",
        "ready_since",
        "size",
        "waiting",
        "wake",
    )

    def __init__(self, key: bytes) -> None:
        self.key: bytes = key
        self.waiting: list[Work] = []
        self.items: int = 0  # of all that waits
        self.size: int = codec.events_overhead(key)  # of a request with all that waits
        self.mixed: bool = False  # whether works of several kinds wait
        self.front: list[Batch] | None = None  # frozen requests to repeat, first one first
        self.in_air: bool = False
        self.due: float = -NEVER  # when it may be sent; infinite while it is ready or in the air
        self.wake: float = NEVER  # its live alarm
        self.among: Ready[Lane] | None = None  # where it stands while it is ready
        self.level: int = 0
        self.place: int = 0
        self.ready_since: float = 0.0

    def append(self, work: Work) -> None:
        """Put a work at the end."""
        waiting = self.waiting
        if waiting and waiting[-1].family != work.family:
            self.mixed = True
        waiting.append(work)
        self.items += work.items
        self.size += work.size + 1

    def remove(self, count: int) -> list[Work]:
        """Take the first ones out."""
        first = self.waiting[:count]
        del self.waiting[:count]
        self.items -= sum([work.items for work in first])
        self.size -= sum([work.size for work in first]) + count
        if self.mixed:
            self.mixed = any(work.family != self.waiting[0].family for work in self.waiting)
        return first

    def kind(self) -> Kind:
        """Family of the head, and whether it is a retry. A half of a refused request is none: nothing failed."""
        if self.front:
            return self.front[0].works[0].family, self.front[0].failures > 0
        return self.waiting[0].family, False

    def oldest(self) -> float:
        """When the first of all that waits was accepted; infinite when all of it is in the air."""
        if self.front:
            return self.front[0].works[0].accepted_at
        return self.waiting[0].accepted_at if self.waiting else NEVER
