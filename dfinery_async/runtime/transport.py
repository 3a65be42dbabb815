"""Requests of the API over HTTP: the short way over our own wire, the long one over httpx where something asks for it.

Redirects are never followed, variables of the environment never read, and no cookie is kept: nothing of
`httpx.AsyncClient` (its URL log line included) takes part.

Must only be called from tasks that the library owns: see `tasks.py`.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import cast

import anyio
import certifi
import httpcore
import httpx
import msgspec
from httpx import AsyncBaseTransport

from dfinery_async.addresses import Origin
from dfinery_async.config import ConnectionConfig, TimeoutConfig
from dfinery_async.core.reply import Headers, RawHeaders
from dfinery_async.errors import ConfigError, ConnectionFailed
from dfinery_async.runtime.shards import Shards
from dfinery_async.runtime.wire.connection import Address
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.disconnected import Disconnected
from dfinery_async.runtime.wire.guest import Guest
from dfinery_async.runtime.wire.patched import is_patched
from dfinery_async.runtime.wire.route import Route, look
from dfinery_async.runtime.wire.transport import FastTransport

__all__ = [
    "LARGEST_REPLY",
    "AsyncBaseTransport",
    "Reply",
    "StaleConnection",
    "StreamedReply",
    "Target",
    "Transport",
    "fault",
]

LARGEST_REPLY = 1024 * 1024
"""Bytes; no answer of an import call is that long."""
_POOL_TIMEOUT = 1.0  # of httpx: its pools are asked for no more than they have
_PORTS = {"http": 80, "https": 443}
_DISCONNECTED = "disconnected without sending a response"  # httpcore's text; it has no class of its own for this

# What went wrong, and whether the API may have processed the request all the same, by the names of errors that httpx
# and httpcore share.
_FAULTS: dict[str, tuple[str, bool]] = {
    "ConnectTimeout": ("no connection within the time-out", False),
    "ConnectError": ("could not connect", False),
    "PoolTimeout": ("no free connection in the pool", False),
    "ProxyError": ("the proxy refused", False),
    "WriteTimeout": ("the request was not taken within the time-out", True),
    "ReadTimeout": ("no answer within the time-out", True),
    "RemoteProtocolError": ("the connection broke, or the answer was not HTTP", True),
    "NetworkError": ("the connection broke", True),
    "TimeoutError": ("no whole answer within the time-out", True),
    "OSError": ("the network failed", True),
}
_SHORT = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
_RAISED = (
    *_SHORT,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    ValueError,
    OSError,
    EOFError,
)
"""What transports raise where the other side or the way is to blame, in the one form or the other."""
_HTTP_1 = {b"HTTP/1.0", b"HTTP/1.1"}


class StaleConnection(ConnectionFailed):
    """A kept connection had been closed by the server: the request was most likely not looked at."""


class Target:
    """Where a call goes, with its token: written once, used for every request.

    Args:
        url: all of it.
        headers: without the body's length.
    """

    __slots__ = ("address", "head", "headers", "url")

    def __init__(self, url: str, headers: Headers) -> None:
        self.url: httpx.URL = httpx.URL(url)
        self.headers: Headers = headers
        port = self.url.port or _PORTS[self.url.scheme]
        self.address: Address = (self.url.raw_host.decode("ascii"), port, self.url.scheme == "https")
        lines = [f"POST {self.url.raw_path.decode('ascii')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.head: bytes = "\r\n".join([*lines, "content-length: "]).encode("latin-1")


class Reply:
    """Head and body of an answer that was read whole."""

    __slots__ = ("body", "raw_headers", "status")

    def __init__(self, status: int, raw_headers: RawHeaders, body: bytes) -> None:
        self.status: int = status
        self.raw_headers: RawHeaders = raw_headers
        self.body: bytes = body

    @property
    def headers(self) -> Headers:
        """Lower-case names, in order."""
        return _headers(self.raw_headers)


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
        self.headers: Headers = _headers(response.headers.raw)
        named = dict(self.headers)
        framed = "content-length" in named or "transfer-encoding" in named
        # Frames end it in later versions, and a transport that speaks none, such as a mock, knows what it gives.
        self.complete: bool = framed or response.extensions.get("http_version") not in _HTTP_1
        plain = "transfer-encoding" not in named and "content-encoding" not in named
        self._length = named.get("content-length", "") if plain else ""
        self._response = response

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Give the body's pieces as they arrive.

        Raises:
            ConnectionFailed: it broke off.
        """
        size = 0
        with _typed():
            async for chunk in _pieces(self._response):
                size += len(chunk)
                yield chunk
        if self._length.isdecimal() and size != int(self._length):  # not every transport looks
            raise ConnectionFailed("the answer has not the length that it told", ambiguous=True)


class Transport:
    """Requests over our own wire, or over httpx: for a proxy, HTTP/2, a custom transport, or while httpx is patched.

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
        if http2 and find_spec("h2") is None:  # httpx's transport would only fail at the first request
            raise ConfigError('http2=True needs the h2 package: pip install "httpx[http2]"')
        self._timeouts = timeouts
        self._deadlines = Deadlines(read=timeouts.read, write=timeouts.write, total=timeouts.total)
        self._connections = connections
        self._context = connections.verify or ssl.create_default_context(cafile=certifi.where())
        self._shards: Shards | None = None
        self._fast: FastTransport | None = None
        if custom is not None:
            self._shards = Shards.of(custom, connections.max_connections)
        elif http2 or connections.proxy is not None:
            self._shards = Shards.over_httpx(connections, self._context, http2=http2)
        else:
            limits = httpx.Limits(
                max_connections=connections.max_connections, keepalive_expiry=connections.keepalive_expiry
            )
            self._fast = FastTransport(verify=self._context, limits=limits, max_age=connections.max_age)

    @property
    def taken(self) -> int:
        """Requests that hold a connection, or a place for one, now."""
        wire = 0 if self._fast is None else self._fast.stats().connections - self._fast.stats().idle
        return wire + (0 if self._shards is None else self._shards.taken)

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        wire = 0 if self._fast is None else self._fast.stats().waiting
        return wire + (0 if self._shards is None else self._shards.waiting)

    async def post(self, target: Target, body: bytes, within: float = math.inf) -> Reply:
        """Send one request and read its answer.

        Args:
            target: where to.
            body: of the request.
            within: seconds that it may take in all, where that is less than the time-outs allow.

        Raises:
            ConnectionFailed: no whole answer came.
        """
        fast = self._fast
        if fast is None or is_patched():
            return await self._post_by_httpx(target, body, within)
        deadlines = self._deadlines
        if within < deadlines.total:
            deadlines = msgspec.structs.replace(deadlines, total=within)
        try:
            return Reply(
                *await fast.wire.post(
                    target.address,
                    b"%b%d\r\n\r\n%b" % (target.head, len(body), body),
                    deadlines,
                    self._timeouts.connect,
                    LARGEST_REPLY,
                )
            )
        except _SHORT as error:
            raise fault(error) from None

    def post_soon(self, target: Target, body: bytes, now: float, guest: Guest) -> bool:
        """Send one request at once, without a task, if a connection of our wire is idle. Returns whether it was.

        Args:
            target: where to.
            body: of the request.
            now: monotonic time.
            guest: hears how it ended, before or after any other; `fault` says what its error means.
        """
        fast = self._fast
        if fast is None or is_patched():
            return False
        data = b"%b%d\r\n\r\n%b" % (target.head, len(body), body)
        return fast.wire.post_soon(target.address, data, now, self._deadlines, LARGEST_REPLY, guest=guest)

    @asynccontextmanager
    async def stream(self, target: Target, body: bytes) -> AsyncGenerator[StreamedReply]:
        """Send one request and give its answer as it arrives.

        Raises:
            ConnectionFailed: no head of an answer came.
        """
        if self._fast is not None and not is_patched():
            request = self._request(target, body, self._timeouts.total)
            async with self._streamed(self._fast, request) as reply:
                yield reply
        else:
            request = self._request(target, body, _POOL_TIMEOUT)
            async with self._httpx().place() as shard, self._streamed(shard.pool, request) as reply:
                yield reply

    async def look(self, origin: Origin) -> Route | None:
        """Try the way to the API without sending anything; `None` where requests go another way than our wire's."""
        if self._fast is None or is_patched():
            return None
        address = (origin.host, origin.port or _PORTS[origin.scheme], origin.scheme == "https")
        return await look(address, self._context, self._timeouts.connect)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._fast is not None:
            await self._fast.aclose()
        if self._shards is not None:
            await self._shards.aclose()

    def _httpx(self) -> Shards:
        if self._shards is None:
            self._shards = Shards.over_httpx(self._connections, self._context)
        return self._shards

    async def _post_by_httpx(self, target: Target, body: bytes, within: float) -> Reply:
        until = asyncio.get_running_loop().time() + within
        with _typed():
            async with self._httpx().place(until) as shard:
                pool = shard.pool
                with (
                    shard.renewing(pool),
                    anyio.fail_after(min(self._timeouts.total, until - asyncio.get_running_loop().time())),
                ):
                    response = await _ask(pool, self._request(target, body, _POOL_TIMEOUT))
                    try:
                        return Reply(response.status_code, response.headers.raw, await _read(response))
                    finally:
                        await response.aclose()

    @asynccontextmanager
    async def _streamed(self, pool: AsyncBaseTransport, request: httpx.Request) -> AsyncGenerator[StreamedReply]:
        with _typed(), anyio.fail_after(self._timeouts.total):
            response = await _ask(pool, request)
        try:
            yield StreamedReply(response)
        finally:
            await response.aclose()

    def _request(self, target: Target, body: bytes, pool_timeout: float) -> httpx.Request:
        timeouts = self._timeouts
        extensions = {
            "timeout": {
                "connect": timeouts.connect,
                "read": timeouts.read,
                "write": timeouts.write,
                "pool": pool_timeout,
            }
        }
        return httpx.Request("POST", target.url, headers=target.headers, content=body, extensions=extensions)


@contextmanager
def _typed() -> Generator[None]:
    """Translate what a transport raises, one of the user's own included.

    What is a bug there, such as a KeyError or a mock's AssertionError, is left alone, and so is our own cancellation.
    """
    try:
        yield
    except _RAISED as error:
        raise fault(error) from None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise fault(error) from None


def fault(error: BaseException) -> ConnectionFailed:
    """Translate a fault of the HTTP library. Its own text and its request, which carries the token, stay behind."""
    known = (_FAULTS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _FAULTS)
    text, ambiguous = next(known, ("the transport failed", True))
    stale = error.stale if isinstance(error, Disconnected) else _DISCONNECTED in str(error)
    failure = StaleConnection if stale else ConnectionFailed
    return failure(f"{text} ({type(error).__name__})", ambiguous=ambiguous)


async def _ask(pool: AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
    response = await pool.handle_async_request(request)
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise httpx.StreamError("the stream of an answer must be an asynchronous one")
    return response


async def _read(response: httpx.Response) -> bytes:
    """Read a body as it is on the wire. We ask for no compression, and what comes compressed is not the API's."""
    pieces: list[bytes] = []
    size = 0
    async for piece in _pieces(response):
        size += len(piece)
        if size > LARGEST_REPLY:
            return b""  # no answer of the API is that long; the caller sees an unreadable one
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it is on the wire: httpx's own readers would undo a compression without any bound."""
    return cast("httpx.AsyncByteStream", response.stream).__aiter__()


def _headers(raw: RawHeaders) -> Headers:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
