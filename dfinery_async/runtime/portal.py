"""An event loop in a thread of its own, for callers that are no coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple

from anyio.from_thread import BlockingPortal, start_blocking_portal

__all__ = ["Portal", "open_portal"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Portal:
    """Calls coroutine functions in the loop."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run a function in the loop, and wait for its result."""
        return self._portal.call(function, *args)

    def start(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> Future[T]:
        """Begin to run a function in the loop."""
        return self._portal.start_task_soon(function, *args)


@contextmanager
def open_portal() -> Generator[Portal]:
    """Start the thread; it has ended when the block has."""
    with start_blocking_portal(backend="asyncio") as portal:
        yield Portal(portal)
