"""Connections: uvicorn's HTTP protocol on a loop of our own, with its transport in reach of the faults that break it.

The only module that imports uvicorn; it is loaded when an emulator starts.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

# Bounds the wait for calls that are still being answered when the server stops; their connections are gone by then.
_STOP_SECONDS = 2.0

# Turns of the loop in which a connection that was accepted a moment ago comes to its protocol, so that it is closed,
# too. asyncio leaves one open that comes to it after the server was closed.
_TURNS_TO_BEGIN = 5


class _OpenProtocol(HttpToolsProtocol):
    """Hands each call its transport in `scope["state"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.access_log = False
        self.app_state = {**self.app_state, "transport": transport}


async def serve(
    app: ASGIApp, listener: socket.socket, keep_alive: int, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Serve until told to stop, then drop all connections.

    uvicorn's own server polls for its end ten times a second, a wait that every test with an emulator would pay.
    """
    config = uvicorn.Config(
        app,
        timeout_keep_alive=keep_alive,
        lifespan="off",
        ws="none",
        log_config=None,
        # The application sends the date of the emulator's clock.
        date_header=False,
        server_header=False,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _OpenProtocol(config=config, server_state=state, app_state={}), sock=listener
    )
    ready()
    await stop.wait()
    with suppress(NotImplementedError):  # Windows
        loop.remove_reader(listener)
    for _ in range(_TURNS_TO_BEGIN):
        await asyncio.sleep(0)
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=_STOP_SECONDS)


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a reset (RST): no lingering, what is unsent is thrown away."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
