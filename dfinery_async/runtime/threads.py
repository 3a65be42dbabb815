"""Work that would hold up the event loop, done in a thread."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import anyio

__all__ = ["Behind", "finished", "in_thread"]

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


class Behind:
    """Does one thing at a time in a thread, while whoever hands it over prepares the next. Used with `async with`."""

    def __init__(self) -> None:
        self._work: asyncio.Future[Any] | None = None

    async def start(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Wait until the last thing is done, and begin this one. Raises what the last one has raised."""
        await self.ended()
        call = functools.partial(function, *args, **kwargs)
        self._work = asyncio.get_running_loop().run_in_executor(None, call)

    async def ended(self) -> None:
        """Wait until nothing goes on any more. Raises what the last thing has raised."""
        work, self._work = self._work, None
        if work is not None:
            await finished(work)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.ended()
        except Exception:
            if error is None:  # else the first error is the one that says what is wrong
                raise
