"""Scenarios of one transport on the network in memory, and what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from far_end import virtually
from wire_cases import head
from wire_kit import ask
from wire_loop import Line, WireLoop, wire
from wire_server import Request, answer

from dfinery_async.runtime.wire.answer import Phase
from dfinery_async.runtime.wire.connection import Connection
from dfinery_async.runtime.wire.transport import FastTransport

URL = "http://far.example/"
Scenario = Callable[[], Awaitable[object]]


def echo(request: Request, line: Line) -> None:
    line.say(answer(request.line.encode()))


def slowly(seconds: float) -> Callable[[Request, Line], None]:
    def script(request: Request, line: Line) -> None:
        asyncio.get_running_loop().call_later(seconds, echo, request, line)

    return script


def in_memory(scenario: Scenario) -> None:
    """Run a scenario; nothing may stay open behind it, and nothing may go wrong unheard."""

    async def whole() -> None:
        await scenario()
        await asyncio.sleep(0.1)
        assert wire().open == [], "a connection is left open"
        assert wire().unheard == []
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left"

    virtually(whole(), WireLoop)


def limits(most: int | None = 1, idle: int | None = None, expiry: float | None = None) -> dict[str, Any]:
    made = httpx.Limits(max_connections=most, max_keepalive_connections=idle, keepalive_expiry=expiry)
    return {"limits": made}


async def works(transport: httpx.AsyncBaseTransport, times: int = 1) -> None:
    """See that all its places can be used at once."""
    wire().script = slowly(0.01)
    outcomes = await asyncio.gather(*(ask(transport, URL, timeout={"pool": 0.5}) for _ in range(times)))
    assert [outcome.status for outcome in outcomes] == [200] * times


def hoard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seeded bug, and httpcore's own: bytes behind an answer are kept for the next request."""
    kept: dict[Connection, bytes] = {}
    data_received, begin = Connection.data_received, Connection.begin

    def receive(self: Connection, data: bytes) -> None:
        if self._phase in {Phase.IDLE, Phase.DONE}:
            kept[self] = kept.get(self, b"") + bytes(data)
        else:
            data_received(self, data)

    def begin_with_it(self: Connection, *args: Any, **options: Any) -> Any:
        waiter = begin(self, *args, **options)
        asyncio.get_running_loop().call_soon(receive, self, kept.pop(self, b""))
        return waiter

    monkeypatch.setattr(Connection, "data_received", receive)
    monkeypatch.setattr(Connection, "begin", begin_with_it)


async def fails(transport: httpx.AsyncBaseTransport, error: str, after: float, **options: Any) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await ask(transport, URL, **options)
    assert outcome.error == error
    assert loop.time() - began == pytest.approx(after, abs=0.01)


async def streamed(transport: FastTransport, *segments: bytes, length: int = 100) -> httpx.Response:
    """An answer whose head is there, and of whose body only these segments are."""
    wire().script = lambda request, line: line.say(head(f"content-length: {length}"), *segments)
    return await transport.handle_async_request(httpx.Request("GET", URL, extensions={"timeout": {"read": 5.0}}))


def body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    return aiter(stream)
