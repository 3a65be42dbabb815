"""Looking at the way to an address, step by step, without sending a request."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from typing import Any

import httpcore
import msgspec

from dfinery_async.runtime.wire.connection import Address, Connection
from dfinery_async.runtime.wire.opening import open_connection

__all__ = ["Route", "look"]

_PATIENCE = 1.0  # for a connection to go


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How far it went; `None` for steps that were not reached, or are not needed.

    Attributes:
        addresses: of the name.
        resolve_seconds: until they were known.
        connect_seconds: until a connection stood.
        tls_seconds: until one stood with TLS.
        tls: version that was agreed on.
        certificate: the names that it is for.
        expires_at: when it expires.
        trouble: what stood in the way; `None` when nothing did.
    """

    addresses: int | None = None
    resolve_seconds: float | None = None
    connect_seconds: float | None = None
    tls_seconds: float | None = None
    tls: str | None = None
    certificate: str | None = None
    expires_at: dt.datetime | None = None
    trouble: str | None = None


async def look(address: Address, context: ssl.SSLContext, timeout: float) -> Route:
    """Resolve the name, connect, and connect with TLS, as a request would.

    Args:
        address: where to.
        context: for TLS.
        timeout: seconds for each step.
    """
    host, port, secure = address
    loop = asyncio.get_running_loop()
    found: dict[str, Any] = {}
    try:
        begin = loop.time()
        async with asyncio.timeout(timeout):
            known = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found["addresses"] = len({each[4][0] for each in known})
        found["resolve_seconds"] = loop.time() - begin
        found["connect_seconds"], _ = await _try((host, port, False), context, timeout)
        if secure:
            found["tls_seconds"], told = await _try(address, context, timeout)
            found |= told
    except TimeoutError:
        found["trouble"] = "the name was not resolved within the time-out"
    except (OSError, UnicodeError) as error:
        found["trouble"] = f"the name is not known: {getattr(error, 'strerror', None) or type(error).__name__}"
    except httpcore.ConnectTimeout:
        found["trouble"] = "no connection within the time-out"
    except httpcore.ConnectError as error:
        found["trouble"] = str(error)
    return Route(**found)


async def _try(address: Address, context: ssl.SSLContext, timeout: float) -> tuple[float, dict[str, Any]]:
    """Make a connection and close it again. Returns how long that took, and what is known of its TLS."""
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()

    def make() -> Connection:
        return Connection(loop, address, lambda _: gone.set_result(None), memoryview(bytearray(4096)))

    begin = loop.time()
    connection = await open_connection(address, context, timeout, make)
    seconds = loop.time() - begin
    told = _certificate(connection.detail("ssl_object"))
    connection.abort()
    await asyncio.wait({gone}, timeout=_PATIENCE)
    return seconds, told


def _certificate(tls: ssl.SSLObject | None) -> dict[str, Any]:
    certificate: Any = None if tls is None else tls.getpeercert()
    if tls is None or not certificate:  # nobody verified it, so that nothing of it is known
        return {}
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    moment = ssl.cert_time_to_seconds(certificate["notAfter"])
    return {
        "tls": tls.version(),
        "certificate": ", ".join(names),
        "expires_at": dt.datetime.fromtimestamp(moment, dt.UTC),
    }
