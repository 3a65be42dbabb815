"""Requests without a task: whoever sent one is told in the turn in which it ended, once, and what ended it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest
from wire_bench import echo, in_memory, slowly
from wire_cases import head
from wire_loop import Line, wire
from wire_server import Request, answer

from dfinery_async.core.reply import RawHeaders
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.pool import Pool, PoolLimits

FAR = ("far.example", 80, False)
DEADLINES = Deadlines(read=2.0, write=2.0, total=10.0)
LARGEST = 1 << 20
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def post(path: str) -> bytes:
    return f"POST /{path} HTTP/1.1\r\nhost: far.example\r\ncontent-length: 2\r\n\r\n{{}}".encode()


def pool_of(**limits: float) -> Pool:
    return Pool(NOBODY, PoolLimits(**limits))


class Visitor:
    """A guest that notes what it is told, and sends the next request from within, as long as it has some."""

    def __init__(self, pool: Pool, *paths: str) -> None:
        self.told: list[str] = []
        self.ended = asyncio.Event()
        self._pool = pool
        self._left = list(paths)

    def send(self) -> bool:
        path = self._left.pop(0)
        now = asyncio.get_running_loop().time()
        return self._pool.post_soon(FAR, post(path), now, DEADLINES, LARGEST, guest=self)

    def answered(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self._next(f"{status} {body.decode()}")

    def failed(self, error: Exception) -> None:
        self._next(type(error).__name__)

    def _next(self, told: str) -> None:
        self.told.append(told)
        if not (self._left and self.send()):
            self.ended.set()


async def warm(pool: Pool, times: int = 1) -> None:
    wire().script = slowly(0.01)
    await asyncio.gather(*(pool.post(FAR, post("early"), DEADLINES, 5.0, LARGEST) for _ in range(times)))
    wire().script = echo


def test_without_an_idle_connection_nothing_is_sent() -> None:
    async def scenario() -> None:
        pool = pool_of()
        assert not Visitor(pool, "a").send()
        assert wire().lines == []

    in_memory(scenario)


def test_one_request_after_another_on_one_connection() -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        visitor = Visitor(pool, *(str(number) for number in range(100)))
        assert visitor.send()
        assert visitor.told == []  # never before `post_soon` returns
        await visitor.ended.wait()
        assert visitor.told == [f"200 POST /{number} HTTP/1.1" for number in range(100)]
        assert pool.stats().opened == 1
        assert pool.stats().idle == 1
        await pool.aclose()

    in_memory(scenario)


def _reset(request: Request, line: Line) -> None:
    line.reset()


def _end(request: Request, line: Line) -> None:
    line.end()


def _silence(request: Request, line: Line) -> None:
    pass


def _garbage(request: Request, line: Line) -> None:
    line.say(b"SMTP ready\r\n")


def _cut(request: Request, line: Line) -> None:
    line.say(head("content-length: 9"), b"half")
    line.end()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (_reset, "Disconnected"),
        (_end, "Disconnected"),
        (_silence, "ReadTimeout"),
        (_garbage, "RemoteProtocolError"),
        (_cut, "RemoteProtocolError"),
    ],
)
def test_what_goes_wrong_is_told_once_and_ends_the_connection(
    script: Callable[[Request, Line], None], told: str
) -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        wire().script = script
        visitor = Visitor(pool, "a")
        assert visitor.send()
        await visitor.ended.wait()
        assert visitor.told == [told]
        await asyncio.sleep(20)
        assert visitor.told == [told]
        assert pool.stats().connections == 0
        await pool.aclose()

    in_memory(scenario)


def test_an_answer_that_goes_on_serves_no_second_request() -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        wire().script = lambda request, line: line.say(
            head("content-length: 1") + b"x" + head("content-length: 1") + b"y"
        )
        visitor = Visitor(pool, "a", "b")
        assert visitor.send()
        await visitor.ended.wait()
        assert visitor.told == ["200 x"]
        assert pool.stats().idle == 0
        await pool.aclose()

    in_memory(scenario)


@pytest.mark.parametrize("usual", [False, True])
def test_an_answer_to_half_a_request_serves_no_second_one(usual: bool) -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        if usual:  # the answer fits the mold of those before
            visitor = Visitor(pool, *"bbbb")
            assert visitor.send()
            await visitor.ended.wait()
        line = wire().lines[0]
        line.listening = False
        visitor = Visitor(pool, "b", "c")
        assert visitor.send()
        line.say(answer(b"POST /b HTTP/1.1"))
        await visitor.ended.wait()
        assert visitor.told == ["200 POST /b HTTP/1.1"]
        assert pool.stats().idle == 0
        await pool.aclose()

    in_memory(scenario)


def test_a_pool_that_closes_tells_its_guests() -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        wire().script = _silence
        visitor = Visitor(pool, "a")
        assert visitor.send()
        await pool.aclose()
        assert visitor.told == ["ReadError"]

    in_memory(scenario)


def test_an_old_connection_is_not_used_again() -> None:
    async def scenario() -> None:
        pool = pool_of(age=5.0)
        await warm(pool)
        wire().script = slowly(1.0)
        visitor = Visitor(pool, *"abcdefgh")
        assert visitor.send()
        await visitor.ended.wait()
        assert len(visitor.told) == 5
        await asyncio.sleep(1)
        assert pool.stats().connections == 0
        await pool.aclose()

    in_memory(scenario)


def test_whoever_waits_for_the_connection_gets_it_before_a_guest_goes_on() -> None:
    async def scenario() -> None:
        pool = pool_of(connections=1)
        await warm(pool)
        wire().script = slowly(0.1)
        visitor = Visitor(pool, "a", "b")
        assert visitor.send()
        waiting = asyncio.ensure_future(pool.post(FAR, post("waits"), DEADLINES, 5.0, LARGEST))
        _, _, body = await waiting
        assert body == b"POST /waits HTTP/1.1"
        assert visitor.told == ["200 POST /a HTTP/1.1"]
        await pool.aclose()

    in_memory(scenario)


def test_another_address_has_other_connections() -> None:
    async def scenario() -> None:
        pool = pool_of()
        await warm(pool)
        visitor = Visitor(pool, "a")
        now = asyncio.get_running_loop().time()
        assert not pool.post_soon(("near.example", 80, False), post("a"), now, DEADLINES, LARGEST, guest=visitor)
        await pool.aclose()

    in_memory(scenario)
