"""Ctrl-C as a wish instead of an exception: the first time end in good order, the second time end now."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any, Self

from dfinery_async.cli.exits import Exit

__all__ = ["Interrupts", "interruptible", "run"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts SIGINT and SIGTERM while it is entered.

    Attributes:
        count: how many came.
        first: the first of them.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.first: signal.Signals | None = None
        self._waiting: list[tuple[int, asyncio.Event]] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            try:
                loop.add_signal_handler(number, self._came, number)
            except NotImplementedError:  # Windows

                def handler(number: int, _frame: FrameType | None) -> None:
                    loop.call_soon_threadsafe(self._came, signal.Signals(number))

                self._before[number] = signal.signal(number, handler)
            except (RuntimeError, ValueError):
                break  # not in the main thread: the host program owns its signals
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if number in self._before:
                signal.signal(number, self._before.pop(number))
            else:
                loop.remove_signal_handler(number)

    async def wait(self, count: int = 1) -> None:
        """Wait until `count` of them have come."""
        event = asyncio.Event()
        if self.count >= count:
            return
        self._waiting.append((count, event))
        await event.wait()

    def _came(self, number: signal.Signals) -> None:
        self.count += 1
        self.first = self.first or number
        for count, event in self._waiting:
            if self.count >= count:
                event.set()


async def interruptible(work: Callable[[], Coroutine[Any, Any, Exit]]) -> Exit:
    """Run `work` until it ends, or until the first Ctrl-C, which cancels it."""
    with Interrupts() as interrupts:
        task = asyncio.create_task(work())
        stop = asyncio.create_task(interrupts.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return Exit.INTERRUPTED
        finally:
            stop.cancel()


def run(work: Coroutine[Any, Any, Exit]) -> Exit:
    """Run a command's work in an event loop of its own."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:  # before the work took the signals over, or after it gave them back
        return Exit.INTERRUPTED
