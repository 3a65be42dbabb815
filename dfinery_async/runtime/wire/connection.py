"""One HTTP/1.1 connection: one request at a time, its answer parsed by llhttp (httptools).

Whatever leaves the smallest doubt about where an answer ends closes the connection: bytes that nobody asked for, a
time-out, a cancelled request, an answer before the request was written, a length that does not hold. So no answer can
ever be taken for that of another request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import httpcore

from dfinery_async.core.reply import RawHeaders
from dfinery_async.runtime.wire.answer import Phase
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.disconnected import Disconnected
from dfinery_async.runtime.wire.guest import Guest
from dfinery_async.runtime.wire.look import look_at
from dfinery_async.runtime.wire.mold import Mold
from dfinery_async.runtime.wire.watch import Watched

__all__ = ["Address", "Connection"]

Address: TypeAlias = tuple[str, int, bool]
"""Host, port, and whether TLS is spoken."""

_PAUSE_READING_AT = 512 * 1024
_NEW, _IDLE, _WAITING, _BODY, _DONE, _CLOSED = Phase


class Connection(Watched, asyncio.BufferedProtocol):
    """A connection to one address.

    It reads into a buffer that all connections of a pool share: what arrives is parsed at once, and asyncio need not
    make a buffer of 256 KiB for every answer (a quarter of the cost of a request).

    `begin` sends a request and gives a future that ends with the answer (or with its head, where it is streamed), or
    with what went wrong. `take`, or `chunk` until the end and `finish`, make it ready for the next request.

    Args:
        loop: the running loop.
        address: whom it leads to.
        on_lost: called once, when the connection that was made is gone.
        buffer: where asyncio puts what arrives; of one loop, as it is used in one turn of it.

    Attributes:
        born: monotonic time at which it was made.
        idle_since: monotonic time at which it became idle; the pool's.
        drained: whether the last read took all that had arrived, so that a look in the same turn shows nothing new.
    """

    __slots__ = (
        "_buffer",
        "_drained",
        "_error",
        "_look",
        "_on_lost",
        "_reading_paused",
        "_served",
        "_then",
        "_waiter",
        "_writing_paused",
        "address",
        "born",
        "drained",
        "guest",
        "idle_since",
    )

    keep: bool
    _look: Callable[[float], Sequence[object]]  # from `connection_made` on, as `_transport`

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        on_lost: Callable[[Connection], None],
        buffer: memoryview,
        mold: Mold | None = None,
    ) -> None:
        super().__init__(loop, mold)
        self._buffer = buffer
        self.address: Address = address
        self.born: float = 0.0
        self.idle_since: float = 0.0
        self.drained: bool = False
        self.guest: Guest | None = None
        self._on_lost = on_lost
        self._served = False
        self._then: Callable[[Connection], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._reading_paused = False
        self._writing_paused = False

    # For the pool.

    @property
    def usable(self) -> bool:
        """Whether it is idle and may carry another request."""
        return self._phase is _IDLE and not self._transport.is_closing()

    @property
    def closed(self) -> bool:
        """Whether it will never carry another request."""
        return self._phase is _CLOSED

    def has_news(self) -> bool:
        """Whether something has arrived that the loop has not seen yet, as it may be behind.

        On an idle connection that is most likely its end; at worst an answer that nobody asked for, which the next
        request would take for its own. So this look (a third of a microsecond) is never left out.
        """
        return bool(self._look(0))

    def detail(self, name: str) -> Any:
        """What asyncio knows of it by this name, such as `socket`."""
        return self._transport.get_extra_info(name)

    def spoil(self) -> None:
        """See that it serves no other request: this one was not written whole, or asks for it."""
        self.keep = False
        if self._phase is _DONE:
            self._transport.abort()

    def abort(self) -> None:
        """Close it now, whatever it does, or as soon as it stands. Whoever waits for an answer is told so."""
        self._fail(httpcore.ReadError("the connection was closed"))

    # One request.

    def begin(
        self,
        data: bytes,
        now: float,
        deadlines: Deadlines,
        *,
        began: float | None = None,
        largest: float = math.inf,
        streamed: bool = False,
        headless: bool = False,
    ) -> asyncio.Future[None]:
        """Send a request, or as much of it as there is, and return a future that ends with its answer.

        Args:
            data: head and body.
            now: monotonic time.
            deadlines: of this request.
            began: monotonic time from which the total counts; `now` by default.
            largest: bytes of a body that are read at the most; a longer one is left out and counts as empty.
            streamed: whether the future ends with the head, `chunk` gives the body, and `write` more of the request.
            headless: whether the answer has a head alone.
        """
        if self._phase is not _IDLE:
            raise RuntimeError(f"a request on a connection that is {self._phase.name}")
        self.expect(largest, headless=headless, whole=not streamed)
        self._streamed = streamed
        self._partly = streamed
        self._touched = self._wrote_at = now
        self._began = now if began is None else began
        waiter = self._waiter = self._loop.create_future()
        if deadlines is not self._deadlines or self._timer is None or began is not None:
            self._deadlines = deadlines
            self._arm(deadlines)
        self._transport.write(data)
        return waiter

    def post(
        self, data: bytes, now: float, deadlines: Deadlines, largest: float, then: Callable[[Connection], None]
    ) -> None:
        """Send a whole request. Once it has ended, `then` is called, whose `take` gives the answer or raises.

        The arguments are those of `begin`.
        """
        if self._phase is not _IDLE:
            raise RuntimeError(f"a request on a connection that is {self._phase.name}")
        self.expect(largest, headless=False, whole=True)
        self._streamed = self._partly = False
        self._touched = self._wrote_at = self._began = now
        self._then = then
        if deadlines is not self._deadlines or self._timer is None:
            self._deadlines = deadlines
            self._arm(deadlines)
        self._transport.write(data)

    def take(self) -> tuple[int, RawHeaders, bytes]:
        """Return status, headers and body of the whole answer.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError: what went wrong.
        """
        if self._error is not None:
            raise self._error
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._served = True
        self.forget()
        return self.status, self._head, body

    # One request whose body, or whose answer's, comes in pieces.

    @property
    def answered(self) -> bool:
        """Whether an answer has begun, or the connection is gone: sending more is of no use."""
        return self._phase is not _WAITING

    async def write(self, data: bytes) -> None:
        """Send more of the request's body, and wait while the peer takes nothing."""
        if self.answered or not data:
            return
        self._touched = self._wrote_at = self.now()
        self._transport.write(data)
        if self._writing_paused:
            self._drained = self._loop.create_future()
            self._arm(cast("Deadlines", self._deadlines))
            try:
                await self._drained
            finally:
                self._drained = None

    def written(self) -> None:
        """The request is whole: from now on the peer's time to answer counts."""
        self._partly, self._touched = False, self.now()
        self._arm(cast("Deadlines", self._deadlines))

    async def head(self, waiter: asyncio.Future[None]) -> tuple[int, RawHeaders]:
        """Wait for the answer's head (`waiter` is what `begin` gave) and return it. Raises as `take` does."""
        await waiter
        if self._error is not None:
            raise self._error
        return self.status, self._head

    async def chunk(self) -> bytes:
        """Return what has arrived of the body since the last call; nothing at its end. Raises as `take` does."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._phase is not _BODY:
                return b""
            self._touched = self._wrote_at = self.now()
            self._waiter = self._loop.create_future()
            self._arm(cast("Deadlines", self._deadlines))
            await self._waiter
        parts, self._parts = self._parts, []
        self._size = 0
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """End a streamed answer: a whole one leaves the connection idle, any other closes it."""
        if self._phase is _DONE:
            self._served = True
            self.forget()
        else:
            self.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)
        self._look = look_at(transport.get_extra_info("socket"))
        self.born = self.now()
        if self._phase is _NEW:
            self._phase = _IDLE
        else:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where asyncio may put what arrives."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Something has arrived."""
        self.drained = nbytes < len(self._buffer)
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Read on, and say what came of it."""
        if self._phase is not _WAITING and self._phase is not _BODY:
            self.abort()  # nobody asked for anything
        elif (error := self.feed(data)) is not None:
            self._fail(error)
        elif self._phase is _DONE:
            if not self.keep or self._transport.get_write_buffer_size():
                self.keep = False
                self._transport.abort()
            self._wake()
        else:
            self._touched = self.now()
            if self._streamed and self._phase is _BODY:
                if self._size > _PAUSE_READING_AT and not self._reading_paused:
                    self._reading_paused = True
                    self._transport.pause_reading()
                self._wake()

    def eof_received(self) -> bool:
        """The peer sends nothing more; asyncio closes the connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: a body without a length has come to its end, anything else has broken off."""
        if self._phase is _BODY and exc is None and not self.framed:
            self._phase = _DONE
            self.keep = False
            self._wake()
        elif self._phase is _WAITING and not self._head_bytes and (exc is None or self._served):
            self._fail(Disconnected(stale=self._served))
        elif exc is None:
            self._fail(httpcore.RemoteProtocolError("the peer closed the connection within its answer"))
        else:
            self._fail(httpcore.ReadError(type(exc).__name__))
        self._reading_paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The peer takes nothing for now."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The peer takes more."""
        self._writing_paused = False
        self._wake_writer()

    # Inside.

    def _fail(self, error: Exception) -> None:
        """Close it for good, and tell whoever waits. An answer that is whole all the same stays to be taken."""
        if self._phase is _CLOSED:
            return
        self.keep = False
        made = self._phase is not _NEW
        if self._phase is not _DONE:
            if self._phase is _WAITING or self._phase is _BODY:
                self._error = error
            self._phase = _CLOSED
        if made:
            self._transport.abort()
        self._wake()

    def _awaited(self) -> bool:
        return self._then is not None or self._waiter is not None or self._drained is not None

    def _wake(self) -> None:
        then = self._then
        if then is not None:
            self._then = None
            then(self)
            return
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        if self._drained is not None:
            self._wake_writer()

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
