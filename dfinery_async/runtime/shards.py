"""httpx's own transport in shards, for what our wire does not speak: proxies, HTTP/2, patched and injected transports.

httpx's pool walks all its connections for every request, so one large pool collapses (32 connections: a quarter of the
throughput of four pools of eight). Requests therefore go over shards of at most eight connections each, with our own
bound on requests in flight, which makes waiting inside a pool impossible; a pool that waits all the same has lost slots
and is replaced.
"""

from __future__ import annotations

import asyncio
import functools
import math
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx

from dfinery_async.config import ConnectionConfig

__all__ = ["Shard", "Shards"]

_SHARD = 8


class Shard:
    """A pool of at most eight connections."""

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._make = make
        self.pool: httpx.AsyncBaseTransport = make()
        self._retired: list[httpx.AsyncBaseTransport] = []

    @contextmanager
    def renewing(self, pool: httpx.AsyncBaseTransport) -> Generator[None]:
        """Put a new pool in the place of one that turns out to have lost slots (encode/httpcore#1093)."""
        try:
            yield
        except httpx.PoolTimeout:
            if self.pool is pool:
                self._retired.append(pool)
                self.pool = self._make()
            raise

    async def aclose(self) -> None:
        """Close its pools."""
        for pool in (self.pool, *self._retired):
            await pool.aclose()


class Shards:
    """As many places for requests as connections are allowed, over pools of httpx or one transport of the user's.

    Args:
        sizes: connections of each pool.
        make: makes a pool of so many connections.
    """

    def __init__(self, sizes: Sequence[int], make: Callable[[int], httpx.AsyncBaseTransport]) -> None:
        self._shards = [Shard(functools.partial(make, size)) for size in sizes]
        # The last one stands on top: few requests in flight stay on one shard, whose connections stay warm.
        self._places = [shard for shard, size in zip(self._shards, sizes, strict=True) for _ in range(size)]
        self._most = len(self._places)
        self._waiters: deque[asyncio.Future[None]] = deque()

    @classmethod
    def of(cls, custom: httpx.AsyncBaseTransport, most: int) -> Shards:
        """Use a transport of the user's, for `most` requests at the same time."""
        return cls([most], lambda _: custom)

    @classmethod
    def over_httpx(cls, connections: ConnectionConfig, context: ssl.SSLContext, *, http2: bool = False) -> Shards:
        """Use pools of httpx."""
        most = connections.max_connections
        sizes = [min(_SHARD, most - start) for start in range(0, most, _SHARD)]
        return cls(sizes, lambda size: _make_pool(size, connections, context, http2=http2))

    @property
    def taken(self) -> int:
        """Places that requests hold now."""
        return self._most - len(self._places)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return sum(not waiter.done() for waiter in self._waiters)

    @asynccontextmanager
    async def place(self, until: float = math.inf) -> AsyncGenerator[Shard]:
        """Wait for a place and give its shard; leaving frees it.

        Args:
            until: the loop's time until which it is worth waiting.

        Raises:
            httpx.PoolTimeout: there was none in time.
        """
        while not self._places:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout_at(until if until < math.inf else None):
                    await waiter
            except (TimeoutError, asyncio.CancelledError) as error:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise httpx.PoolTimeout("all places are taken") from None
        shard = self._places.pop()
        try:
            yield shard
        finally:
            self._places.append(shard)
            self._wake_one()

    async def aclose(self) -> None:
        """Close all pools, and the user's transport."""
        for shard in self._shards:
            await shard.aclose()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _make_pool(
    size: int, connections: ConnectionConfig, context: ssl.SSLContext, *, http2: bool
) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(
        verify=context,
        http1=not http2,
        http2=http2,
        limits=httpx.Limits(
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=connections.keepalive_expiry,
        ),
        trust_env=False,
        proxy=connections.proxy,
    )
