"""Making a connection: names resolved, addresses raced, TLS verified, all within one deadline."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable

import httpcore

from dfinery_async.runtime.wire.connection import Address, Connection

__all__ = ["open_connection"]

_NEXT_ADDRESS_AFTER = 0.25  # seconds; RFC 8305, "Connection Attempt Delay"


async def open_connection(
    address: Address, context: ssl.SSLContext, timeout: float | None, make: Callable[[], Connection]
) -> Connection:
    """Open a connection.

    Args:
        address: whom to connect to. The name is sent in the TLS handshake (SNI) and checked against the certificate.
        context: for TLS.
        timeout: seconds for all of it, TLS included; `None` is no bound.
        make: makes the protocol.

    Raises:
        httpcore.ConnectTimeout, httpcore.ConnectError: there is none; nothing was sent.
    """
    host, port, secure = address
    tls = context if secure else None
    try:
        async with asyncio.timeout(timeout):
            return await _connect(host, port, tls, make)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout from error
    except (OSError, ssl.SSLError, UnicodeError, asyncio.IncompleteReadError) as error:
        raise httpcore.ConnectError(_reason(error)) from error


async def _connect(host: str, port: int, tls: ssl.SSLContext | None, make: Callable[[], Connection]) -> Connection:
    loop = asyncio.get_running_loop()
    name = host if tls is not None else None
    if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(host):
        _, connection = await loop.create_connection(
            make, host, port, ssl=tls, server_hostname=name, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER
        )
        return connection
    # A single address needs no race, which could leave a socket open where it is cancelled (CPython 3.11). Other loops,
    # such as uvloop's, have none: they try one address after the other.
    _, connection = await loop.create_connection(make, host, port, ssl=tls, server_hostname=name)
    return connection


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    """Say what failed, without names or addresses that only the system's text would add."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
