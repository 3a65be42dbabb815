"""httpx's own transport and ours, side by side, and what one request on each of them comes to."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import h11
import httpcore
import httpx

from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.transport import FastTransport

SCALE = int(os.environ.get("DFINERY_TEST_SCALE", "1"))  # how many times more of everything
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to read the usual authorities takes longer than most tests
TIMEOUTS = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def stock(
    *, verify: ssl.SSLContext = TRUSTING_NOBODY, limits: httpx.Limits | None = None, **_: Any
) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits or httpx.Limits())


def fast(
    *, verify: ssl.SSLContext = TRUSTING_NOBODY, limits: httpx.Limits | None = None, **options: Any
) -> FastTransport:
    return FastTransport(verify=verify, limits=limits or httpx.Limits(), **options)


TRANSPORTS: dict[str, Callable[..., httpx.AsyncBaseTransport]] = {"httpx": stock, "wire": fast}


class Outcome(NamedTuple):
    """What came of a request: an answer, or the class of an error."""

    error: str = ""
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    version: object = None
    reason: object = None


async def ask(
    transport: httpx.AsyncBaseTransport,
    url: str,
    *,
    method: str = "GET",
    timeout: dict[str, Any] | None = None,
    **options: Any,
) -> Outcome:
    """Send a request straight to a transport and read its answer whole."""
    extensions = {"timeout": TIMEOUTS | (timeout or {}), **options.pop("extensions", {})}
    try:
        request = httpx.Request(method, url, extensions=extensions, **options)
        return await take(await transport.handle_async_request(request))
    except (httpx.TransportError, h11.LocalProtocolError) as error:  # h11's comes out of httpx here and there
        return Outcome(error=type(error).__name__)


async def post(transport: FastTransport, url: str, *, timeout: dict[str, float] | None = None) -> Outcome:
    """Send a request by the short way of our own calls, and read its answer whole."""
    to = httpx.URL(url)
    patience = TIMEOUTS | (timeout or {})
    head = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-length: 2\r\n\r\n{}" % (to.raw_path, to.raw_host)
    deadlines = Deadlines(read=patience["read"], write=patience["write"], total=99.0)
    try:
        address = (to.host, to.port or 80, False)
        status, headers, body = await transport.wire.post(address, head, deadlines, patience["connect"], 1024 * 1024)
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        return Outcome(error=next(each.__name__ for each in type(error).__mro__ if hasattr(httpcore, each.__name__)))
    return Outcome(status=status, headers=tuple(headers), body=body)


async def take(response: httpx.Response) -> Outcome:
    """Read an answer's body as it is on the wire."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        body = b"".join([piece async for piece in stream])
    finally:
        await response.aclose()
    told = response.extensions
    return Outcome(
        status=response.status_code,
        headers=tuple(response.headers.raw),
        body=body,
        version=told.get("http_version"),
        reason=told.get("reason_phrase"),
    )


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)  # they arrive one by one
        yield part
