"""Tasks that the library owns, so that a caller's cancellation never reaches a request on the wire.

httpx and httpcore lose pool slots for good when a request's task is cancelled natively (encode/httpcore#1093), and an
anyio shield does not stop such a cancel. So callers only ever wait on futures; what they wait for runs here.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

from dfinery_async.errors import ClientClosed

__all__ = ["TaskOwner"]

T = TypeVar("T")


class TaskOwner:
    """A set of tasks that ends with `aclose()`.

    Tasks run in the context in which their owner was made, not in that of whichever caller happens to start one: what
    a web framework or a tracer keeps there for one request has no part in what is sent for all.
    """

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def context(self) -> contextvars.Context:
        """Return a context for a task: what is set in it stays there."""
        return self._context.copy()

    def start(
        self, work: Coroutine[Any, Any, T], name: str, context: contextvars.Context | None = None
    ) -> asyncio.Task[T]:
        """Run `work` in a task of its own.

        Args:
            work: what to do.
            name: what the task is called.
            context: where it runs, for work that is one caller's own.

        Raises:
            ClientClosed: after `aclose()`.
        """
        if self._closed:
            work.close()
            raise ClientClosed("the client is closed")
        task = asyncio.get_running_loop().create_task(work, name=f"dfinery:{name}", context=context or self.context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def run(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run `work` in a task of its own, in the caller's context, and wait for it.

        Cancelling the wait leaves the work running.

        Raises:
            ClientClosed: the client was closed meanwhile.
        """
        task = self.start(work, name, contextvars.copy_context())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if task.cancelled() and waiter is not None and not waiter.cancelling():
                # It is not the caller who was cancelled: to tell it so would end it without a word.
                raise ClientClosed("the client was closed while this call was under way") from None
            raise

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds.

        Raises:
            ClientClosed: the client was closed meanwhile.
        """
        timer = self.start(asyncio.sleep(seconds), "pause")
        try:
            await asyncio.wait({timer})
        finally:
            timer.cancel()
        if timer.cancelled():
            raise ClientClosed("the client was closed while this call waited for its next attempt")

    async def aclose(self) -> None:
        """Cancel what still runs, wait until it has ended, and take nothing more."""
        self._closed = True
        own = asyncio.current_task()
        while tasks := [task for task in self._tasks if task is not own]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits gets it; if nobody waits any more, asyncio must not print it
