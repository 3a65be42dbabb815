"""The one module that imports the HTTP library.

httpx's pool walks all its connections for every request, so one large pool collapses (32 connections: a quarter of the
throughput of four pools of eight). Requests therefore go over shards of at most eight connections each, with our own
bound on requests in flight, which makes waiting inside a pool impossible; a pool that waits all the same has lost slots
and is replaced. Redirects are never followed, variables of the environment never read, and no cookie is kept: requests
go straight to the transport, so nothing of `httpx.AsyncClient` (its URL log line included) takes part.

Must only be called from tasks that the library owns: see `tasks.py`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import cast

import anyio
import httpx
from httpx import AsyncBaseTransport

from dfinery_async.config import ConnectionConfig, TimeoutConfig
from dfinery_async.core.reply import Headers
from dfinery_async.errors import ConfigError, ConnectionFailed

__all__ = ["AsyncBaseTransport", "Reply", "StaleConnection", "StreamedReply", "Transport"]

_SHARD = 8
_LARGEST_REPLY = 1024 * 1024
_POOL_TIMEOUT = 1.0
_DISCONNECTED = "disconnected without sending a response"  # httpcore's text; it has no class of its own for this

# What went wrong, and whether the API may have processed the request all the same. Order matters: subclasses first.
_FAULTS: tuple[tuple[type[Exception], str, bool], ...] = (
    (httpx.ConnectTimeout, "no connection within the time-out", False),
    (httpx.ConnectError, "could not connect", False),
    (httpx.PoolTimeout, "no free connection in the pool", False),
    (httpx.ProxyError, "the proxy refused", False),
    (httpx.WriteTimeout, "the request was not taken within the time-out", True),
    (httpx.ReadTimeout, "no answer within the time-out", True),
    (httpx.RemoteProtocolError, "the connection broke, or the answer was not HTTP", True),
    (httpx.NetworkError, "the connection broke", True),
    (httpx.TransportError, "the transport failed", True),
    (TimeoutError, "no whole answer within the time-out", True),
    (OSError, "the network failed", True),
)


class StaleConnection(ConnectionFailed):
    """A kept connection had been closed by the server: the request was most likely not looked at."""


class Reply:
    """Head and body of an answer that was read whole."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status: int = status
        self.headers: Headers = headers
        self.body: bytes = body


class StreamedReply:
    """An answer whose body is still under way.

    Attributes:
        status: HTTP status.
        headers: lower-case names, in order.
        complete: after the end of `chunks()`, whether the framing proves that nothing is missing. A body that ends
            with its connection may have been cut anywhere.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status: int = response.status_code
        self.headers: Headers = _headers(response)
        names = {name for name, _ in self.headers}
        self.complete: bool = "content-length" in names or "transfer-encoding" in names
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body's pieces as they arrive.

        Raises:
            ConnectionFailed: it broke off.
        """
        try:
            async for chunk in _pieces(self._response):
                yield chunk
        except _CAUGHT as error:
            raise _fault(error) from None


class _Shard:
    """A pool of at most eight connections."""

    def __init__(self, make: Callable[[], AsyncBaseTransport]) -> None:
        self._make = make
        self.pool = make()
        self._retired: list[AsyncBaseTransport] = []

    def renew(self, lost: AsyncBaseTransport) -> None:
        """Put a new pool in the place of one that has lost slots (encode/httpcore#1093)."""
        if self.pool is lost:
            self._retired.append(lost)
            self.pool = self._make()

    async def aclose(self) -> None:
        for pool in (self.pool, *self._retired):
            await pool.aclose()


class Transport:
    """Requests over httpx.

    Args:
        timeouts: deadlines of one attempt.
        connections: how many, and how they are made.
        http2: speak HTTP/2; needs the `h2` package.
        custom: a transport to use instead, such as `httpx.MockTransport`; it is closed with this one.
    """

    def __init__(
        self,
        timeouts: TimeoutConfig,
        connections: ConnectionConfig,
        *,
        http2: bool = False,
        custom: AsyncBaseTransport | None = None,
    ) -> None:
        self._timeouts = timeouts
        if http2 and find_spec("h2") is None:  # httpx's transport would only fail at the first request
            raise ConfigError('http2=True needs the h2 package: pip install "httpx[http2]"')
        if custom is not None:
            self._shards = [_Shard(lambda: custom)]
            self._slots = self._shards * connections.max_connections
        else:
            context = connections.verify or ssl.create_default_context(cafile=_certifi())

            def pool(size: int) -> Callable[[], AsyncBaseTransport]:
                return lambda: _make_pool(size, connections, context, http2=http2)

            sizes = [
                min(_SHARD, connections.max_connections - start)
                for start in range(0, connections.max_connections, _SHARD)
            ]
            self._shards = [_Shard(pool(size)) for size in sizes]
            # The last one stands on top: few requests in flight stay on one shard, whose connections stay warm.
            self._slots = [shard for shard, size in zip(self._shards, sizes, strict=True) for _ in range(size)]
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._urls: dict[str, httpx.URL] = {}  # one a call of the API

    async def post(self, url: str, headers: Headers, body: bytes) -> Reply:
        """Send one request and read its answer.

        Raises:
            ConnectionFailed: no whole answer came.
        """
        async with self._slot() as shard:
            pool = shard.pool
            try:
                with anyio.fail_after(self._timeouts.total):
                    response = await pool.handle_async_request(self._request(url, headers, body))
                    try:
                        return Reply(response.status_code, _headers(response), await _read(response))
                    finally:
                        await response.aclose()
            except _CAUGHT as error:
                if isinstance(error, httpx.PoolTimeout):
                    shard.renew(pool)
                raise _fault(error) from None

    @asynccontextmanager
    async def stream(self, url: str, headers: Headers, body: bytes) -> AsyncGenerator[StreamedReply]:
        """Send one request and give its answer as it arrives.

        Raises:
            ConnectionFailed: no head of an answer came.
        """
        async with self._slot() as shard:
            try:
                with anyio.fail_after(self._timeouts.total):
                    response = await shard.pool.handle_async_request(self._request(url, headers, body))
            except _CAUGHT as error:
                raise _fault(error) from None
            try:
                yield StreamedReply(response)
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        for shard in self._shards:
            await shard.aclose()

    def _request(self, url: str, headers: Headers, body: bytes) -> httpx.Request:
        timeouts = self._timeouts
        extensions = {
            "timeout": {
                "connect": timeouts.connect,
                "read": timeouts.read,
                "write": timeouts.write,
                "pool": _POOL_TIMEOUT,
            }
        }
        parsed = self._urls.get(url)
        if parsed is None:
            parsed = self._urls[url] = httpx.URL(url)
        return httpx.Request("POST", parsed, headers=headers, content=body, extensions=extensions)

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[_Shard]:
        while not self._slots:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()
                raise
        shard = self._slots.pop()
        try:
            yield shard
        finally:
            self._slots.append(shard)
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


_CAUGHT: tuple[type[Exception], ...] = tuple(kind for kind, _, _ in _FAULTS)


def _fault(error: Exception) -> ConnectionFailed:
    """Translate a fault of the HTTP library. Its own text and its request, which carries the token, stay behind."""
    for kind, text, ambiguous in _FAULTS:
        if isinstance(error, kind):
            stale = isinstance(error, httpx.RemoteProtocolError) and _DISCONNECTED in str(error)
            failure = StaleConnection if stale else ConnectionFailed
            return failure(f"{text} ({type(error).__name__})", ambiguous=ambiguous)
    raise AssertionError(type(error))


async def _read(response: httpx.Response) -> bytes:
    """Read a body as it is on the wire. We ask for no compression, and what comes compressed is not the API's."""
    pieces: list[bytes] = []
    size = 0
    async for piece in _pieces(response):
        size += len(piece)
        if size > _LARGEST_REPLY:
            return b""  # no answer of the API is that long; the caller sees an unreadable one
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it is on the wire: httpx's own readers would undo a compression without any bound."""
    return cast("httpx.AsyncByteStream", response.stream).__aiter__()


def _headers(response: httpx.Response) -> Headers:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]


def _make_pool(size: int, connections: ConnectionConfig, context: ssl.SSLContext, *, http2: bool) -> AsyncBaseTransport:
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


def _certifi() -> str:
    import certifi  # noqa: PLC0415 - comes with httpx, and is only needed where no context was given

    return certifi.where()
