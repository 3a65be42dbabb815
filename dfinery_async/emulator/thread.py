"""A thread with an event loop of its own for the server."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    Serve = Callable[[socket.socket, asyncio.Event, Callable[[], None]], Awaitable[None]]


class ServerThread:
    """One run of the server, from its start to the end of its thread.

    Args:
        serve: serves a listening socket until the event is set, and calls its last argument when it is ready.
        listener: the listening socket.

    Attributes:
        thread: the thread.
        started: done when the server is ready, or can't be.
        finished: done right before the thread ends, with what went wrong after the start.
    """

    def __init__(self, serve: Serve, listener: socket.socket) -> None:
        self._serve = serve
        self._listener = listener
        self._stop = asyncio.Event()
        self._stop_wanted = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.started: Future[None] = _running_future()
        self.finished: Future[None] = _running_future()
        # A daemon: a forgotten emulator does not keep the interpreter from ending.
        self.thread: threading.Thread = threading.Thread(target=self._main, name="dfinery-emulator", daemon=True)
        self.thread.start()

    def signal_stop(self) -> None:
        """Have the server stop soon; may be called again and at any time."""
        self._stop_wanted = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._stop.set)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # noqa: BLE001  # whoever starts or stops the server raises it
            (self.finished if self.started.done() else self.started).set_exception(error)
        finally:
            self._listener.close()
            if not self.finished.done():
                self.finished.set_result(None)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_wanted:
            self._stop.set()
        await self._serve(self._listener, self._stop, lambda: self.started.set_result(None))


def _running_future() -> Future[None]:
    """A future that a caller who stops waiting can't cancel under the thread that sets it."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future
