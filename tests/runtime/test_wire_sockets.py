"""What only real sockets show: a loop that was held up, buffers of the system, and addresses that lead nowhere."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self

import httpx
import pytest
from cancel_kit import At
from export_bench import until
from wire_kit import TRANSPORTS, ask, fast
from wire_server import Request, Server, answer

both = pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS.keys())
Make = Callable[..., httpx.AsyncBaseTransport]


class ThreadedServer:
    """A server that needs no turn of the client's loop: it answers one request a connection, then ends it when told.

    Args:
        last_words: sent upon the end.
        reset: end with RST.
    """

    def __init__(self, last_words: bytes = b"", *, reset: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._last_words = last_words
        self._reset = reset
        self._connection: socket.socket | None = None
        self.port: int = self._listener.getsockname()[1]
        self.served = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.end()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                self._connection, _ = self._listener.accept()
                self._connection.recv(65536)
                self.served += 1
                self._connection.sendall(answer(b"one"))

    def end(self) -> None:
        """End the connection. The client's loop hears of it when it turns next."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with connection:
            if self._last_words:
                connection.sendall(self._last_words)
            if self._reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LAST_WORDS = {
    "end": (b"", False),
    "reset": (b"", True),
    "408": (answer(b"too slow", "408 Request Timeout", "connection: close"), False),
    "smuggled": (answer(b"smuggled"), False),
}


@both
@pytest.mark.parametrize("how", LAST_WORDS)
@pytest.mark.asyncio
async def test_an_end_that_the_loop_has_not_seen_yet(make: Make, how: str) -> None:
    words, reset = LAST_WORDS[how]
    with ThreadedServer(words, reset=reset) as server:
        async with make() as transport:
            for number in range(1, 4):
                outcome = await ask(transport, f"http://127.0.0.1:{server.port}/")
                assert (outcome.error, outcome.body) == ("", b"one")
                assert server.served == number
                server.end()  # in the caller's own turn: nobody else's code runs before the next request


@pytest.mark.parametrize("how", LAST_WORDS)
@pytest.mark.asyncio
async def test_an_end_on_the_way_from_one_caller_to_the_next(how: str) -> None:
    words, reset = LAST_WORDS[how]
    with ThreadedServer(words, reset=reset) as server:
        async with fast(limits=httpx.Limits(max_connections=1)) as transport:
            url = f"http://127.0.0.1:{server.port}/"
            first = asyncio.create_task(ask(transport, url))
            await until(lambda: transport.stats().connections == 1)
            # The connection was given to the second, and he has not heard of it.
            second = await At(ask(transport, url), 1, server.end, woken=True)
            assert [outcome.body for outcome in (await first, second)] == [b"one", b"one"]
    assert server.served == 2


@both
@pytest.mark.asyncio
async def test_a_slow_reader_slows_the_server(make: Make) -> None:
    size, number = 65536, 1600  # 100 MB: far more than the buffers of the system
    sent = 0

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size * number))
        for _ in range(number):
            writer.write(b"x" * size)
            await writer.drain()
            sent += size

    async def stalled() -> None:
        turns, before = 0, -1
        while turns < 100:
            await asyncio.sleep(0)
            turns, before = (turns + 1, sent) if before == sent else (0, sent)

    server = Server(script)
    async with server.serving(), make() as transport:
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/")
        response = await transport.handle_async_request(request)
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        body = aiter(stream)
        total = len(await anext(body))
        await stalled()
        assert sent < size * number / 2
        async for piece in body:
            total += len(piece)
        await response.aclose()
        assert total == size * number


@both
@pytest.mark.asyncio
async def test_an_end_in_the_middle_of_an_upload(make: Make) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it never comes whole")

    async def body() -> Any:
        for number in range(10_000):
            yield b"x" * 1000
            if number == 10:
                await until(lambda: server.open == 1)
                for writer in server.writers:
                    writer.transport.abort()
                await until(lambda: server.open == 0)

    server = Server(script)
    async with server.serving(), make() as transport:
        outcome = await ask(transport, f"http://127.0.0.1:{server.port}/", method="POST", content=body())
        assert outcome.error in {"WriteError", "ReadError", "RemoteProtocolError"}
        server.script = answer(b"on")
        assert (await ask(transport, f"http://127.0.0.1:{server.port}/")).body == b"on"


# Addresses. 127.0.0.0/8 is all loopback on Linux; where it is not, there is nothing to see.


@contextmanager
def black_hole(host: str, port: int) -> Iterator[None]:
    """An address that takes no connection and refuses none: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        try:
            listener.bind((host, port))
        except OSError:
            pytest.skip("this system has one loopback address only")
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield


def resolves_to(monkeypatch: pytest.MonkeyPatch, port: int, *hosts: str) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)) for host in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@both
@pytest.mark.asyncio
async def test_the_second_address_is_tried_when_the_first_refuses(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(answer(b"here"))
    async with server.serving(), make() as transport:
        resolves_to(monkeypatch, server.port, "127.0.0.2", "127.0.0.3", "127.0.0.1")
        assert (await ask(transport, f"http://name.example:{server.port}/")).body == b"here"


@both
@pytest.mark.asyncio
async def test_the_second_address_is_tried_when_the_first_is_silent(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(answer(b"here"))
    async with server.serving(), make() as transport:
        with black_hole("127.0.0.2", server.port):
            resolves_to(monkeypatch, server.port, "127.0.0.2", "127.0.0.1")
            assert (await ask(transport, f"http://name.example:{server.port}/")).body == b"here"
    assert server.connections == 1


@both
@pytest.mark.asyncio
async def test_no_address_answers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(answer(b"here"))
    async with server.serving(), make(limits=httpx.Limits(max_connections=1)) as transport:
        with black_hole("127.0.0.2", server.port):
            resolves_to(monkeypatch, server.port, "127.0.0.2")
            url = f"http://name.example:{server.port}/"
            for _ in range(2):
                assert (await ask(transport, url, timeout={"connect": 0.05})).error == "ConnectTimeout"
            resolves_to(monkeypatch, server.port, "127.0.0.1")
            assert (await ask(transport, url)).body == b"here"
    assert server.connections == 1


@pytest.mark.asyncio
async def test_a_name_that_takes_long_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with fast() as transport:
        assert (await ask(transport, "http://name.example/", timeout={"connect": 0.05})).error == "ConnectTimeout"
        assert transport.stats().connections == 0
