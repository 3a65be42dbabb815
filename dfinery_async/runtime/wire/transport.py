"""The pool as a transport of httpx."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any, cast

import certifi
import httpcore
import httpx

from dfinery_async.runtime.wire.http_pool import HttpPool
from dfinery_async.runtime.wire.pool import Pool, PoolLimits, PoolStats

__all__ = ["FastTransport"]

_MAX_AGE = 300.0
_DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)  # httpx's own


class FastTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 for any `httpx.AsyncClient`, at a cost that does not grow with the number of connections.

    It behaves like `httpx.AsyncHTTPTransport()`, except that a connection is closed in every case of doubt, and that
    it leaves an answer's body alone: no more than 512 KiB of it wait for the reader. Proxies, HTTP/2, Unix sockets and
    client certificates from files are the stock transport's business; a certificate of yours goes into `verify`.

    Args:
        verify: a TLS context; by default the certificates of the `certifi` package are trusted.
        limits: connections at the most, idle ones that are kept, and for how long.
        max_age: seconds after which a connection is not used again, so that a change of addresses is followed.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | None = None,
        limits: httpx.Limits = _DEFAULT_LIMITS,
        max_age: float = _MAX_AGE,
    ) -> None:
        context = verify or ssl.create_default_context(cafile=certifi.where())
        context.set_alpn_protocols(["http/1.1"])
        self._pool = HttpPool(
            context,
            PoolLimits(
                connections=_bound(limits.max_connections),
                idle=_bound(limits.max_keepalive_connections),
                expiry=_bound(limits.keepalive_expiry),
                age=max_age,
            ),
        )

    @property
    def wire(self) -> Pool:
        """The pool below, for requests that need no objects of httpx."""
        return self._pool.wire

    def stats(self) -> PoolStats:
        """Return how many connections there are, and what they do."""
        return self.wire.stats()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer, whose body is still under way."""
        url = request.url
        inner = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast("httpx.AsyncByteStream", request.stream),
            extensions=request.extensions,
        )
        with _translated():
            response = await self._pool.handle_async_request(inner)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(response),
            extensions=cast("dict[str, Any]", response.extensions),  # pyright: ignore[reportUnknownMemberType] - bare dict
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Stream(httpx.AsyncByteStream):
    """An answer's body."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        with _translated():
            await self._response.aclose()


@contextmanager
def _translated() -> Generator[None]:
    """Raise httpx's errors for those of httpcore, which carry the same names."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, *_OTHERS) as error:
        kind = next(getattr(httpx, each.__name__) for each in type(error).__mro__ if hasattr(httpx, each.__name__))
        raise kind(str(error)) from error


_OTHERS = (httpcore.ProxyError, httpcore.UnsupportedProtocol)


def _bound(number: float | None) -> float:
    return math.inf if number is None else number
