"""The journal: the latest records of requests, and counts of all of them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dfinery_async.emulator.records import Outcome, RequestRecord

# Seconds of the past of which the outcomes are counted one by one.
ACTIVITY_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of all requests since the start or the last reset.

    Attributes:
        requests: how many requests came.
        outcomes: how many of them had which outcome.
        event_requests: how many were calls for events.
        events: how many events were in those.
        items: how many items were in the events.
        faults: how many requests an injected fault has hit.
    """

    requests: int
    outcomes: dict[Outcome, int]
    event_requests: int
    events: int
    items: int
    faults: int


class Journal:
    """Keeps records by number, beginning with 1. Server and test threads share it, so each method locks.

    Args:
        keep: how many of the latest records stay; None keeps all.
    """

    def __init__(self, keep: int | None) -> None:
        self._lock = threading.Lock()
        self._keep = keep
        self._listeners: list[Callable[[], None]] = []
        self._clear()

    def _clear(self) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=self._keep)
        self._outcomes: Counter[Outcome] = Counter()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[int, Counter[Outcome]] = {}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._clear()

    def add(self, record: RequestRecord) -> None:
        """Keep a record, and tell those who listen."""
        outcome = record.outcome
        with self._lock:
            self._records.append(record)
            self._outcomes[outcome] += 1
            counts = self._counts
            counts["faults"] += record.fault is not None
            if record.family == "events":
                counts["event_requests"] += 1
                counts["events"] += record.event_count
                counts["items"] += record.item_count
            second = int(record.at)
            if second not in self._seconds:
                self._seconds[second] = Counter()
                while len(self._seconds) > ACTIVITY_SECONDS:
                    del self._seconds[min(self._seconds)]
            self._seconds[second][outcome] += 1
            listeners = list(self._listeners)
        for tell in listeners:
            tell()

    def listen(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each record, in the server's thread; returns what ends that."""
        with self._lock:
            self._listeners.append(tell)

        def end() -> None:
            with self._lock:
                self._listeners.remove(tell)

        return end

    def records(self) -> list[RequestRecord]:
        """The records that are kept, in order of their answers."""
        with self._lock:
            return list(self._records)

    def totals(self) -> Totals:
        """Counts of all requests."""
        with self._lock:
            counts = self._counts
            return Totals(
                requests=self._outcomes.total(),
                outcomes=dict(self._outcomes),
                event_requests=counts["event_requests"],
                events=counts["events"],
                items=counts["items"],
                faults=counts["faults"],
            )

    def activity(self, now: float) -> list[dict[Outcome, int]]:
        """The outcomes in each of the last seconds, the current one last."""
        last = int(now)
        with self._lock:
            return [dict(self._seconds.get(last - back, {})) for back in reversed(range(ACTIVITY_SECONDS))]

    def find(self, number: int) -> RequestRecord | None:
        """The record of a number; None when it is not kept, or not there yet."""
        with self._lock:
            place = number - 1 - (self._outcomes.total() - len(self._records))
            return self._records[place] if 0 <= place < len(self._records) else None

    def newest(self, before: int | None = None) -> Iterator[tuple[int, RequestRecord]]:
        """The records with their numbers, the newest first, those below `before` only."""
        with self._lock:
            number = self._outcomes.total()
            records = list(self._records)
        passed = 0 if before is None else max(0, number + 1 - before)
        return islice(zip(range(number, number - len(records), -1), reversed(records), strict=True), passed, None)
