"""One answer of an export call, read in a task of its own.

The caller's task only takes what the reading task has put into a small channel, so that cancelling the caller never
reaches the wire. The reading task is stopped through an anyio scope: httpx gives connections back when it is
cancelled that way, and may lose them for good when a task is cancelled natively (encode/httpcore#1093).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio

from dfinery_async.config import Family
from dfinery_async.core.endpoints import Endpoint
from dfinery_async.core.outcome import Outcome
from dfinery_async.core.reply import Headers
from dfinery_async.errors import ClientClosed, ExportError, ExportInterrupted
from dfinery_async.runtime.compression import Unpacker, UnpackingError, packing_of
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["ExportReply", "ExportSource", "ExportStream"]

_ROOM = 512 * 1024  # bytes that may wait for the consumer, a chunk more at the most

_COURTESY = 5.0  # seconds


class ExportReply(Protocol):
    """An answer whose head is there."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """Lower-case names, in order."""
        ...

    @property
    def complete(self) -> bool:
        """After the end of `chunks()`: whether the framing proves that nothing is missing."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body's pieces as they arrive.

        Raises:
            ConnectionFailed: it broke off.
        """
        ...


class ExportSource(Protocol):
    """Where exports come from: the client's gateway."""

    @property
    def secrets(self) -> Sequence[str]:
        """What no error may show, whatever an answer repeats."""
        ...

    def open(self, endpoint: Endpoint, body: bytes) -> AbstractAsyncContextManager[ExportReply]:
        """Wait for the hourly quota and one of the five places, send, and give the answer once its head is there.

        Leaving frees the place.
        """
        ...

    def note_throttled(self, family: Family, error: BaseException | None, retry_after: float | None = None) -> float:
        """Hold a family after a "too many requests"; returns for how many seconds. The error learns the moment."""
        ...

    def failed_export(self, status: int, headers: Headers, body: bytes) -> Outcome:
        """Say what a failed answer of an export call means."""
        ...


class ExportStream:
    """An answer under way: its head, its body in pieces, its end.

    Args:
        source: where it comes from.
        endpoint: which call.
        body: the request.
        tasks: owner of the reading task.

    Attributes:
        status: HTTP status, once `head()` has returned.
        headers: the same.
        complete: whether the framing proved the body whole, once `take()` has returned nothing.
    """

    def __init__(self, source: ExportSource, endpoint: Endpoint, body: bytes, tasks: TaskOwner) -> None:
        self.status: int = 0
        self.headers: Headers = []
        self.complete: bool = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: BaseException | None = None
        self._whole = False
        self._unpacker: Unpacker | None = None
        self._head = asyncio.Event()
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._task = tasks.start(self._run(source, endpoint, body), "export", contextvars.copy_context())
        self._task.add_done_callback(self._end)

    async def head(self) -> int:
        """Wait for the answer's head and return its status.

        Raises:
            DfineryError: what the source raised: no answer came, the client was closed.
        """
        await self._head.wait()
        if self.status == 0 and self._error is not None:
            raise self._error
        return self.status

    async def take(self) -> bytes:
        """Return more of what has arrived, at least one byte; nothing at the end.

        Raises:
            DfineryError: what the source raised: the answer broke off, the client was closed.
        """
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._ready.clear()
            await self._ready.wait()
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._size < _ROOM:
            self._room.set()
        return data

    async def aclose(self) -> None:
        """Have the reading task close the answer, and wait until it has.

        The wait is a courtesy, so that the place is free when the caller goes on: it is bounded, and cancelling it
        changes nothing.
        """
        self._scope.cancel()
        if not self._task.done():
            with anyio.move_on_after(_COURTESY, shield=True):
                await asyncio.wait({self._task})

    async def _run(self, source: ExportSource, endpoint: Endpoint, body: bytes) -> None:
        with self._scope:
            async with source.open(endpoint, body) as reply:
                self.status, self.headers = reply.status, reply.headers
                packing = packing_of(self.headers)
                self._unpacker = None if packing is None else Unpacker(packing)
                self._head.set()
                await self._read(reply.chunks())
                # What is packed says where it ends, also where the transport does not.
                self.complete = reply.complete or self._unpacker is not None

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in chunks:
                if self._unpacker is None:
                    await self._put(chunk)
                    continue
                for piece in self._unpacker.feed(chunk):
                    await self._put(piece)
            if self._unpacker is not None:
                self._unpacker.finish()
            self._whole = True
        except UnpackingError as error:
            raise (ExportInterrupted if error.retryable else ExportError)(f"the answer {error}", status=200) from None
        finally:
            # Left to the garbage collector, a generator would be closed in a task of the loop's choice.
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _put(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        self._ready.set()
        if self._size >= _ROOM:
            self._room.clear()
            await self._room.wait()

    def _end(self, task: asyncio.Task[None]) -> None:
        """Tell whoever waits. A callback of the task, since a task that is cancelled before it began runs nothing."""
        if not self._whole:
            # Without an error it was stopped: by whoever closed the export, or with the client.
            error = None if task.cancelled() else task.exception()
            self._error = error or ClientClosed("the export was closed before its end")
        self._ended = True
        self._head.set()
        self._ready.set()
