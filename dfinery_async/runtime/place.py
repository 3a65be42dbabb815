"""Where we run: the event loop and the process that something belongs to, asked for at every call and so cheaply.

`os.getpid` is a system call, and Python 3.11 makes one in `asyncio.get_running_loop` too: together they cost as much as
encoding an event. The thread, whether the loop runs, and a count of forks say the same.
"""

from __future__ import annotations

import asyncio
import os
from threading import get_ident

from dfinery_async.errors import ClientClosed, ConfigError

__all__ = ["Place"]

_forks = [0]  # that this process has come out of


def _forked() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):  # where there are no forks there is nothing to count
    os.register_at_fork(after_in_child=_forked)


class Place:
    """The loop, thread and process in which it was made.

    Raises:
        ConfigError: there is no loop.
    """

    __slots__ = ("_forks", "_is_running", "_thread")

    def __init__(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError("no event loop runs here: use the client within `async def`") from None
        self._is_running = loop.is_running
        self._thread = get_ident()
        self._forks = _forks[0]

    def is_here(self) -> bool:
        """Whether the caller runs on that loop, in that process."""
        return self._thread == get_ident() and self._forks == _forks[0] and self._is_running()

    def check(self, what: str) -> None:
        """Raise ClientClosed, which names what belongs here, if the caller runs elsewhere."""
        if not self.is_here():
            raise ClientClosed(f"the {what} belongs to another event loop or process; make one in each")
