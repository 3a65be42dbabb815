"""A pool in constant time: a stack of idle connections for each address, and a queue of those who wait.

The connection that was used last is used next, so that few requests in flight stay on few warm connections and the
others may expire. What waits gets its connection handed over in the order of arrival; who is cancelled while it waits
hands on what it was given. No request walks over anything.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import httpcore
import msgspec

from dfinery_async.core.reply import RawHeaders
from dfinery_async.runtime.wire.connection import Address, Connection
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.guest import Guest
from dfinery_async.runtime.wire.mold import Mold
from dfinery_async.runtime.wire.opening import open_connection

__all__ = ["Pool", "PoolLimits", "PoolStats"]

_BUFFER = 256 * 1024
_CLOSED = "the pool was closed"
_PATIENCE = 1.0  # for connections to go, at the end


class PoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a pool.

    Attributes:
        connections: at the most, those that are being made included.
        idle: connections that are kept though nobody uses them.
        expiry: seconds after which an idle one is closed.
        age: seconds after which a connection is not used again, so that a change of addresses is followed.
    """

    connections: float = math.inf
    idle: float = math.inf
    expiry: float = math.inf
    age: float = math.inf


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a pool.

    Attributes:
        connections: there are now, those that are being made included.
        idle: of these, how many nobody uses.
        waiting: requests that wait for one.
        opened: connections that were made so far.
    """

    connections: int
    idle: int
    waiting: int
    opened: int


class _Waiter:
    """Somebody who waits: is given an idle connection, or `None` with the right to make one."""

    __slots__ = ("address", "future")

    def __init__(self, address: Address, future: asyncio.Future[Connection | None]) -> None:
        self.address = address
        self.future = future


class Pool:
    """Connections to any number of addresses, of one event loop.

    Args:
        context: for TLS.
        limits: bounds.
    """

    def __init__(self, context: ssl.SSLContext, limits: PoolLimits) -> None:
        self._context = context
        self._limits = limits
        self._idle: dict[Address, dict[Connection, None]] = {}  # in the order in which they became idle
        self._idle_count = 0
        self._live: set[Connection] = set()
        self._count = 0  # connections, and rights to make one
        self._opened = 0
        self._waiters: deque[_Waiter] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(_BUFFER))
        self._mold = Mold()
        self._at_hand: Connection | None = None  # that a guest who is just being told may use
        self._gone: asyncio.Future[None] | None = None
        self._closed = False

    def stats(self) -> PoolStats:
        """Return the figures of this moment."""
        waiting = sum(not waiter.future.done() for waiter in self._waiters)
        return PoolStats(connections=self._count, idle=self._idle_count, waiting=waiting, opened=self._opened)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._live))

    async def post(
        self, address: Address, data: bytes, deadlines: Deadlines, connect: float, largest: float
    ) -> tuple[int, RawHeaders, bytes]:
        """Send one whole request and return status, headers and body of its answer.

        Args:
            address: where to.
            data: head and body.
            deadlines: of the request; the total includes waiting for a connection and making it.
            connect: seconds to make a connection.
            largest: bytes of a body that are read at the most; a longer one counts as empty.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError: no whole answer came.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        connection = self._pop(address, now)
        began = None
        if connection is None:
            began = now
            connection = await self.acquire(address, min(connect, deadlines.total), deadlines.total)
            now = loop.time()
        try:
            await connection.begin(data, now, deadlines, began=began, largest=largest)
            return connection.take()
        except BaseException:
            connection.abort()  # whoever was cancelled leaves an answer behind
            raise
        finally:
            self.release(connection)

    def post_soon(
        self, address: Address, data: bytes, now: float, deadlines: Deadlines, largest: float, *, guest: Guest
    ) -> bool:
        """Send one whole request at once, if there is an idle connection for it. Returns whether there was.

        Args:
            address: where to.
            data: head and body.
            now: monotonic time.
            deadlines: of the request.
            largest: as for `post`.
            guest: hears how it ended, outside of any task and not before this returns.
        """
        connection = self._at_hand
        if (
            connection is not None
            and connection.address == address
            and now - connection.born < self._limits.age
            and (connection.drained or not connection.has_news())
        ):
            self._at_hand = None
        elif (connection := self._pop(address, now)) is None:
            return False
        connection.guest = guest
        connection.post(data, now, deadlines, largest, self._ended)
        return True

    async def acquire(self, address: Address, connect: float | None, patience: float | None) -> Connection:
        """Return a connection that nobody else uses: an idle one, or a new one.

        Args:
            address: whom it leads to.
            connect: seconds to make one; `None` is no bound.
            patience: seconds to wait for one that others use; the same.

        Raises:
            httpcore.PoolTimeout: all were in use for too long.
            httpcore.ConnectTimeout, httpcore.ConnectError: there is none.
        """
        while not self._closed:
            connection = self._pop(address, asyncio.get_running_loop().time())
            if connection is not None:
                return connection
            if not self._reserve():
                connection = await self._wait(address, patience)
            if connection is None:
                return await self._open(address, connect)
            if connection.usable and not connection.has_news():
                return connection
            connection.abort()  # it died on its way to us
        raise httpcore.ConnectError(_CLOSED)

    def release(self, connection: Connection) -> None:
        """Give a connection back: to whoever waits, or to the idle ones. A closed one counts until it is gone."""
        if not connection.usable:
            if not connection.closed:
                connection.abort()
            return
        now = connection.now()
        limits = self._limits
        if now - connection.born >= limits.age:
            connection.abort()
            return
        if self._waiters and (waiter := self._next()) is not None:
            if waiter.address == connection.address:
                waiter.future.set_result(connection)
            else:
                self._waiters.appendleft(waiter)
                connection.abort()  # makes room for one to another address
            return
        if self._idle_count >= limits.idle:
            connection.abort()
            return
        connection.idle_since = now
        self._idle.setdefault(connection.address, {})[connection] = None
        self._idle_count += 1
        if self._sweeper is None and limits.expiry < math.inf:
            self._sweeper = asyncio.get_running_loop().call_later(limits.expiry, self._sweep)

    async def aclose(self) -> None:
        """Close all connections, whatever they do, and wait until they are gone. Nothing can be sent any more."""
        self._closed = True
        while (waiter := self._next()) is not None:
            waiter.future.set_exception(httpcore.ConnectError(_CLOSED))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in tuple(self._live):
            connection.abort()
        if self._live:
            self._gone = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._gone

    # Inside.

    def _ended(self, connection: Connection) -> None:
        """Give back the connection of a guest, and tell it."""
        guest = cast("Guest", connection.guest)
        connection.guest = None
        try:
            status, headers, body = connection.take()
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            self.release(connection)
            guest.failed(error)
            return
        if self._waiters or not connection.usable or self._at_hand is not None:
            self.release(connection)
            guest.answered(status, headers, body)
            return
        self._at_hand = connection  # most guests send the next request at once
        try:
            guest.answered(status, headers, body)
        finally:
            self._lay_down()

    def _lay_down(self) -> None:
        """Give back the connection at hand, if no guest has used it."""
        connection, self._at_hand = self._at_hand, None
        if connection is not None:
            self.release(connection)

    def _pop(self, address: Address, now: float) -> Connection | None:
        """Take the connection that became idle last, if it is still good."""
        idle = self._idle.get(address)
        limits = self._limits
        while idle:
            connection = idle.popitem()[0]
            self._idle_count -= 1
            rested = now - connection.idle_since
            if (
                connection.usable
                and rested < limits.expiry
                and now - connection.born < limits.age
                and not connection.has_news()
            ):
                return connection
            connection.abort()
        return None

    def _reserve(self) -> bool:
        """Take the right to make a connection, if there is one; an idle one to another address may give way."""
        if self._waiters:
            return False  # it was there before us
        if self._count < self._limits.connections:
            self._count += 1
            return True
        for idle in self._idle.values():
            if idle:
                next(iter(idle)).abort()  # the wait for its right begins: it is gone with the next turn of the loop
                break
        return False

    async def _wait(self, address: Address, patience: float | None) -> Connection | None:
        waiter = _Waiter(address, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(None if patience == math.inf else patience):
                return await waiter.future
        except BaseException as error:
            if waiter.future.done() and not waiter.future.cancelled():  # given, but not taken: hand it on
                self._hand_on(waiter.future)
            if isinstance(error, TimeoutError):
                raise httpcore.PoolTimeout from error
            raise

    def _hand_on(self, given: asyncio.Future[Connection | None]) -> None:
        if given.exception() is not None:
            return
        connection = given.result()
        if connection is None:
            self._free()
        else:
            self.release(connection)

    def _next(self) -> _Waiter | None:
        """Take whoever has waited longest and still does."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.future.done():
                return waiter
        return None

    async def _open(self, address: Address, timeout: float | None) -> Connection:
        """Use the right to make a connection. Without success the right goes to whoever waits."""
        made: list[Connection] = []

        def make() -> Connection:
            connection = Connection(asyncio.get_running_loop(), address, self._lost, self._buffer, self._mold)
            made.append(connection)
            return connection

        try:
            connection = await open_connection(address, self._context, None if timeout == math.inf else timeout, make)
        except BaseException:
            for late in made:
                late.abort()  # it may stand although nobody waited for it any longer
            self._free()
            raise
        if not connection.usable or self._closed:
            connection.abort()
            self._free()
            raise httpcore.ConnectError(_CLOSED if self._closed else "the connection was closed at once")
        self._live.add(connection)
        self._opened += 1
        return connection

    def _lost(self, connection: Connection) -> None:
        """A connection is gone: somebody may make another."""
        if connection not in self._live:
            return
        self._live.discard(connection)
        if (idle := self._idle.get(connection.address)) is not None and connection in idle:
            del idle[connection]
            self._idle_count -= 1
        self._free()
        if self._gone is not None and not self._live and not self._gone.done():
            self._gone.set_result(None)

    def _free(self) -> None:
        """Pass a right to make a connection on, or give it up."""
        waiter = self._next()
        if waiter is None:
            self._count -= 1
        else:
            waiter.future.set_result(None)

    def _sweep(self) -> None:
        """Close the idle connections whose time is over; come back for the next one."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        oldest = math.inf
        for address, idle in tuple(self._idle.items()):
            while idle:
                connection = next(iter(idle))
                if now - connection.idle_since < self._limits.expiry:
                    oldest = min(oldest, connection.idle_since)
                    break
                del idle[connection]
                self._idle_count -= 1
                connection.abort()
            if not idle:
                del self._idle[address]
        if oldest < math.inf:
            self._sweeper = loop.call_at(oldest + self._limits.expiry, self._sweep)
