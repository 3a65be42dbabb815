"""Deadlines in virtual time: what takes too long ends typed, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from wire_bench import URL, echo, fails, in_memory, limits, slowly, works
from wire_cases import head
from wire_kit import ask, fast, pieces
from wire_loop import Line, wire
from wire_server import Request

from dfinery_async import ConnectionFailed, DfineryClient, RetryConfig, TimeoutConfig


def test_a_peer_that_vanishes_is_left() -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            for _ in range(3):
                await works(transport)
                wire().script = lambda request, line: None
                await fails(transport, "ReadTimeout", 2.0, timeout={"read": 2.0})
                assert not wire().lines[-1].open
            await works(transport)
        assert len(wire().lines) == 4

    in_memory(scenario)


def test_a_late_answer_belongs_to_nobody() -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            wire().script = slowly(3.0)
            await fails(transport, "ReadTimeout", 2.0, timeout={"read": 2.0})
            wire().script = slowly(2.0)
            assert (await ask(transport, f"{URL}other")).body == b"GET /other HTTP/1.1"

    in_memory(scenario)


@pytest.mark.parametrize("where", ["head", "sized", "chunked", "to the end"])
def test_the_time_to_read_counts_from_piece_to_piece(where: str) -> None:
    begin = {
        "head": b"HTTP/1.1 200 OK\r\nx: ",
        "sized": head("content-length: 100"),
        "chunked": head("transfer-encoding: chunked") + b"64\r\n",
        "to the end": head(),
    }[where]

    def script(request: Request, line: Line) -> None:
        line.say(begin)
        for number in range(1, 11):
            asyncio.get_running_loop().call_later(1.9 * number, line.say, b"x")

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            wire().script = script
            await fails(transport, "ReadTimeout", 21.0, timeout={"read": 2.0})
            await works(transport)

    in_memory(scenario)


@pytest.mark.parametrize("body", [b"x" * 10_000_000, "a stream"])
def test_a_peer_that_takes_nothing(body: bytes | str) -> None:
    taken = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 10_000
            yield b"x" * 10_000

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            wire().deaf = True
            content = body if isinstance(body, bytes) else stream()
            await fails(transport, "WriteTimeout", 3.0, timeout={"write": 3.0}, method="POST", content=content)
            assert taken < 300_000, "a stream goes on though nothing is taken"
            wire().deaf = False
            await works(transport)

    in_memory(scenario)


def test_a_peer_that_takes_it_in_the_end() -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            await works(transport)
            [line] = wire().lines
            wire().script = echo
            line.listening = False
            parts = [b"x" * 50_000] * 20
            call = asyncio.create_task(ask(transport, URL, method="POST", content=pieces(*parts)))
            await asyncio.sleep(4.0)
            line.listen()
            assert (await call).status == 200
            assert line.requests[-1].body == b"".join(parts)
            await works(transport)
        assert len(wire().lines) == 1

    in_memory(scenario)


def test_no_connection_in_time() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            wire().connecting = hang
            await fails(transport, "ConnectTimeout", 2.0, timeout={"connect": 2.0})
            assert transport.stats().connections == 0
            wire().connecting = None
            await works(transport)

    in_memory(scenario)


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "x"), OSError(101, "x"), OSError(24, "x"), OSError("Multiple exceptions: x")]
)
def test_no_connection_at_all(error: OSError) -> None:
    async def refuse() -> None:
        raise error

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            wire().connecting = refuse
            outcomes = await asyncio.gather(*(ask(transport, URL) for _ in range(10)))
            assert {outcome.error for outcome in outcomes} == {"ConnectError"}
            assert transport.stats().connections == transport.stats().waiting == 0
            wire().connecting = None
            await works(transport)

    in_memory(scenario)


def test_no_free_connection_in_time() -> None:
    async def scenario() -> None:
        wire().script = slowly(3.0)
        async with fast(**limits(2)) as transport:
            busy = [asyncio.create_task(ask(transport, URL)) for _ in range(2)]
            await asyncio.sleep(0)
            await fails(transport, "PoolTimeout", 1.0, timeout={"pool": 1.0})
            assert transport.stats().waiting == 0
            patient = asyncio.create_task(ask(transport, URL, timeout={"pool": None}))
            await asyncio.gather(patient, *busy)
            assert (await patient).status == 200
            await works(transport, 2)

    in_memory(scenario)


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx: ", head("content-length: 100")], ids=["head", "body"])
def test_an_answer_that_drips_ends_at_the_total_deadline(begin: bytes) -> None:
    def script(request: Request, line: Line) -> None:
        line.say(begin)
        for number in range(1, 30):
            asyncio.get_running_loop().call_later(4.0 * number, line.say, b"x")

    async def scenario() -> None:
        wire().script = script
        async with DfineryClient(
            "svc",
            import_token="a-token-for-tests",
            base_url="http://127.0.0.1:9",
            timeouts=TimeoutConfig(read=5.0, total=60.0),
            retry=RetryConfig(total=0),
        ) as client:
            with pytest.raises(ConnectionFailed, match="ReadTimeout"):
                await client.send_events("u", "e")
            assert asyncio.get_running_loop().time() == pytest.approx(60.0, abs=0.1)
            assert wire().open == []

    in_memory(scenario)


def test_no_deadline_at_all() -> None:
    async def scenario() -> None:
        wire().script = slowly(100_000.0)
        async with fast(**limits(1)) as transport:
            calls = [ask(transport, URL, timeout=dict.fromkeys(("connect", "read", "write", "pool"))) for _ in "ab"]
            assert [outcome.status for outcome in await asyncio.gather(*calls)] == [200, 200]
            request = httpx.Request("GET", URL)
            assert (await transport.handle_async_request(request)).status_code == 200

    in_memory(scenario)
