"""Pulling a source, no faster than it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Set as AbstractSet
from typing import Any, TypeAlias, cast

from dfinery_async.errors import InvalidInputError
from dfinery_async.models import Event, Identity, Stats

__all__ = ["Progress", "Reporter", "Source", "check_source", "pull"]

Source: TypeAlias = "Iterable[tuple[Identity | str, Event | str]] | AsyncIterable[tuple[Identity | str, Event | str]]"
"""Pairs of identity and event, sync or async."""

Progress: TypeAlias = Callable[[Stats], object]
"""Called with the books of a producer a few times a second."""

_PROGRESS_EVERY = 0.25


def check_source(source: object) -> None:
    """Check that pairs can be pulled from a source.

    Raises:
        InvalidInputError: it gives nothing, or nothing but texts; or it is a table, which has to be read as one.
    """
    if hasattr(source, "__arrow_c_stream__"):
        raise InvalidInputError("a table goes into `client.load`, which reads its rows", field="source")
    kind = type(source).__name__
    gives = isinstance(source, AsyncIterable | Iterable) or hasattr(type(source), "__getitem__")
    if not gives or isinstance(source, str | bytes | Mapping):
        raise InvalidInputError(
            "must give pairs of identity and event, such as a list or a generator, sync or async; "
            f"`client.load` takes a table, too; not {kind}",
            field="source",
        )


async def pull(source: Source, track: Callable[[Identity | str, Event | str], Awaitable[object]]) -> int:
    """Hand every pair of a source to `track`, which waits when there is no room. Returns how many there were.

    Raises:
        InvalidInputError: something that the source gave is no pair; what came before it was handed over.
    """
    check_source(source)
    count = 0
    if isinstance(source, AsyncIterable):
        async for pair in source:
            identity, event = pair if pair.__class__ is tuple and len(pair) == 2 else _pair(pair, count)
            await track(identity, event)
            count += 1
    else:
        for pair in source:
            identity, event = pair if pair.__class__ is tuple and len(pair) == 2 else _pair(pair, count)
            await track(identity, event)
            count += 1
    return count


def _pair(given: object, index: int) -> tuple[Any, Any]:
    """Return what a source gave as the pair that it should be, such as a list of two.

    A dict with two keys, or a text of two letters, would pass for one: its keys or letters would be sent.
    """
    kind = type(given).__name__
    if not isinstance(given, str | bytes | Mapping | AbstractSet):
        try:
            identity, event = cast("tuple[Any, Any]", given)
        except (TypeError, ValueError):
            pass
        else:
            return identity, event
    raise InvalidInputError(f"must be a pair of identity and event, not {kind}", field=f"source[{index}]")


class Reporter:
    """Tells the progress by a timer of the loop, at the begin and at the end; for use in a `with` block."""

    def __init__(self, stats: Callable[[], Stats], progress: Progress | None) -> None:
        self._stats = stats
        self._progress = progress
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._tell()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._progress is not None:
            self._progress(self._stats())

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._stats())
            self._timer = asyncio.get_running_loop().call_later(_PROGRESS_EVERY, self._tell)
