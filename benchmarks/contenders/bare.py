"""The bare client: an `asyncio.Protocol` with httptools on connections of its own, nothing above it.

It does not retry, pace, keep order, bound memory or say what went wrong with which event. It is here as the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from contenders.common import Contender, Send, Target
from contenders.handmade import HEADERS, PATH, confirm, grouped
from kit.loads import Row


class _Wire(asyncio.Protocol):
    """One connection, which posts bodies as they come, one after another."""

    def __init__(self, head: bytes, parser: Callable[[Any], Any], loads: Callable[[bytes], Any]) -> None:
        self._head = head
        self._parser = parser(self)
        self._loads = loads
        self._transport: asyncio.Transport | None = None
        self._bodies: Iterator[bytes] = iter(())
        self._reply = b""
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("the sink has hung up"))

    def post_all(self, bodies: Iterator[bytes]) -> asyncio.Future[None]:
        self._bodies = bodies
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def _next(self) -> None:
        assert self._transport is not None
        assert self._done is not None
        try:
            body = next(self._bodies)
        except StopIteration:
            self._done.set_result(None)
        else:
            self._transport.write(self._head % len(body) + body)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits has to hear of it
            if self._done is not None and not self._done.done():
                self._done.set_exception(error)

    def on_body(self, body: bytes) -> None:
        self._reply += body

    def on_message_complete(self) -> None:
        reply, self._reply = self._reply, b""
        confirm(self._parser.get_status_code(), self._loads(reply))
        self._next()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def _wires(target: Target) -> AsyncIterator[list[_Wire]]:
    import httptools
    import orjson

    parts = urlsplit(target.url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    lines = [f"POST {PATH} HTTP/1.1", f"host: {parts.netloc}", *(f"{name}: {text}" for name, text in HEADERS.items())]
    head = ("\r\n".join(lines) + "\r\ncontent-length: %d\r\n\r\n").encode()
    loop, context = asyncio.get_running_loop(), target.context()
    wires: list[_Wire] = []
    try:
        for _ in range(target.in_flight):
            _, wire = await loop.create_connection(
                lambda: _Wire(head, httptools.HttpResponseParser, orjson.loads), host, port, ssl=context
            )
            wires.append(wire)
        yield wires
    finally:
        for wire in wires:
            wire.close()


def _encoded(payloads: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    import orjson

    return map(orjson.dumps, payloads)


@asynccontextmanager
async def _open(target: Target, bodies: Callable[[Sequence[Any]], Iterator[bytes]]) -> AsyncIterator[Send]:
    async with _wires(target) as wires:

        async def send(work: Sequence[Any]) -> None:
            rest = bodies(work)
            await asyncio.gather(*[wire.post_all(rest) for wire in wires])

        yield send


def _ready_made(rows: Sequence[Row]) -> list[bytes]:
    return list(_encoded(grouped(rows)))


def _as_they_go(rows: Sequence[Row]) -> Iterator[bytes]:
    return _encoded(grouped(rows))


READY = Contender(
    label="bare client, bodies made beforehand", kind="bare", open=partial(_open, bodies=iter), prepare=_ready_made
)
SAME_EVENTS = Contender(label="bare client, same events", kind="bare", open=partial(_open, bodies=_as_they_go))
