"""Pulling a source through a producer, no faster than it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable

from dfinery_async.models import Event, Identity, Stats
from dfinery_async.runtime.producer import Producer

__all__ = ["pull"]

_PROGRESS_EVERY = 0.25


async def pull(
    source: Iterable[tuple[Identity | str, Event | str]] | AsyncIterable[tuple[Identity | str, Event | str]],
    producer: Producer,
    progress: Callable[[Stats], object] | None = None,
) -> None:
    """Track every pair of a source; `track` waits when the producer is full, so the source is pulled no faster."""
    reporter = None
    if progress is not None:
        reporter = _Reporter(producer, progress)
        reporter.start()
    try:
        if isinstance(source, AsyncIterable):
            async for identity, event in source:
                await producer.track(identity, event)
        else:
            for identity, event in source:
                await producer.track(identity, event)
        if reporter is not None:
            await producer.flush()
    finally:
        if reporter is not None:
            reporter.stop()


class _Reporter:
    """Calls `progress` a few times a second, by a timer of the loop, and once at the end."""

    def __init__(self, producer: Producer, progress: Callable[[Stats], object]) -> None:
        self._producer = producer
        self._progress = progress
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._progress(self._producer.stats())
        self._timer = asyncio.get_running_loop().call_later(_PROGRESS_EVERY, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._progress(self._producer.stats())
