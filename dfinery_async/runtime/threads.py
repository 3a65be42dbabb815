"""Work that would hold up the event loop, done in a thread."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio

__all__ = ["finished", "in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread of the loop's pool, and never leave while the thread works."""
    return await finished(
        asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *args, **kwargs))
    )


async def finished(work: asyncio.Future[T]) -> T:
    """Wait for what a thread does, and return what came of it.

    A thread can't be called back. So a cancellation is kept until it has ended, and what it works on (a file that is
    to be removed, say) is nobody else's meanwhile.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):  # else a cancelled scope would cut every turn of this loop short
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        work.exception()  # asyncio must not print what nobody waits for any more
        raise cancelled
    return work.result()
