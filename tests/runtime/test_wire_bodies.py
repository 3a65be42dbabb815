"""Bodies under way, of requests and of answers: back-pressure, early ends, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import httpx
import pytest
from export_bench import until
from wire_bench import URL, body_of, fails, in_memory, limits, slowly, streamed, works
from wire_cases import head
from wire_kit import Outcome, ask, fast
from wire_loop import wire
from wire_server import answer


def test_a_slow_reader_slows_the_peer() -> None:
    size, number = 65536, 800  # 50 MB

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            response = await streamed(transport, *[b"x" * size] * number, length=size * number)
            [line] = wire().lines
            body = body_of(response)
            taken = len(await anext(body))
            for _ in range(20):
                await asyncio.sleep(1.0)
                assert line.handed - taken < 1_000_000
                taken += len(await anext(body))
            assert line.waiting > number / 2
            async for piece in body:
                taken += len(piece)
                assert line.handed - taken < 1_000_000
            assert taken == size * number
            await response.aclose()
            await works(transport)
        assert len(wire().lines) == 1

    in_memory(scenario)


def test_a_reader_may_take_longer_than_the_time_to_read() -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            response = await streamed(transport, *[b"x" * 65536] * 100, length=6553600)
            total = 0
            async for piece in body_of(response):
                total += len(piece)
                await asyncio.sleep(60.0)
            assert total == 6553600
            await response.aclose()

    in_memory(scenario)


@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_body_may_be_left(read: int) -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            for opened in range(1, 4):
                response = await streamed(transport, *[b"x"] * 50)
                body = body_of(response)
                for _ in range(read):
                    await anext(body)
                await response.aclose()
                await response.aclose()
                await until(lambda: transport.stats().connections == 0)
                assert len(wire().lines) == opened
            await works(transport)

    in_memory(scenario)


def test_the_iterator_of_a_body_that_was_left_touches_no_other_request() -> None:
    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            response = await streamed(transport, b"x", length=1)
            body = body_of(response)
            assert await anext(body) == b"x"  # all there is; the iterator has not seen the end
            await response.aclose()
            wire().script = slowly(1.0)
            other = asyncio.create_task(ask(transport, URL))
            await asyncio.sleep(0.5)
            del body, response
            gc.collect()
            assert (await other).status == 200
            assert len(wire().lines) == 1

    in_memory(scenario)


@pytest.mark.parametrize("then", ["open", "end", "reset"])
@pytest.mark.parametrize("status", [200, 413])
def test_an_answer_before_the_request_is_whole(status: int, then: str) -> None:
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        for number in range(1000):
            sent += 1
            if number == 10:
                [line] = wire().lines
                line.say(answer(b"enough", f"{status} Enough"))
                if then != "open":
                    line.end() if then == "end" else line.reset()
            await asyncio.sleep(0.001)
            yield b"x" * 1000

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            outcome = await ask(transport, URL, method="POST", content=stream())
            assert (outcome.status, outcome.body) == (status, b"enough")
            assert sent < 20
            await works(transport)
        assert len(wire().lines) == 2

    in_memory(scenario)


def test_an_early_answer_that_stalls() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        wire().lines[0].say(head("content-length: 10"), b"enough")
        await asyncio.sleep(1.0)
        yield b"x"

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            await fails(transport, "ReadTimeout", 5.0, method="POST", content=stream(), timeout={"read": 4.0})
            await works(transport)

    in_memory(scenario)


def test_a_request_may_take_its_time() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x"
            await asyncio.sleep(60.0)

    async def scenario() -> None:
        wire().script = slowly(4.0)
        async with fast(**limits(1)) as transport:
            deadlines = {"read": 5.0, "write": 5.0}
            assert (await ask(transport, URL, method="POST", content=stream(), timeout=deadlines)).status == 200
            wire().script = slowly(6.0)
            late = await ask(transport, URL, method="POST", content=stream(), timeout=deadlines)
            assert late.error == "ReadTimeout"
            assert asyncio.get_running_loop().time() == pytest.approx(609.0, abs=0.1)

    in_memory(scenario)


def test_a_connection_may_end_before_a_body_has_begun() -> None:
    async def stream() -> AsyncIterator[bytes]:
        wire().lines[0].end()
        await asyncio.sleep(1.0)
        yield b"x"

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            await works(transport)
            assert (await ask(transport, URL, method="POST", content=stream())).status == 200
            assert len(wire().lines) == 2

    in_memory(scenario)


def test_a_request_whose_own_body_fails() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    async def scenario() -> None:
        async with fast(**limits(1)) as transport:
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    await ask(transport, URL, method="POST", content=stream())
            await works(transport)
        assert len(wire().lines) == 4

    in_memory(scenario)


# Closing.


def test_closing_ends_all_there_is() -> None:
    async def scenario() -> None:
        transport = fast(**limits(3))
        await works(transport, 2)
        stream = await streamed(transport, b"x")
        wire().script = lambda request, line: None
        waits = [asyncio.create_task(ask(transport, URL)) for _ in range(4)]
        await asyncio.sleep(0.1)
        await transport.aclose()
        outcomes: list[Outcome] = await asyncio.wait_for(asyncio.gather(*waits), 1.0)
        assert all(outcome.error for outcome in outcomes)
        with pytest.raises(httpx.TransportError):
            await stream.aread()
        await stream.aclose()
        assert transport.stats().connections == transport.stats().waiting == 0
        await transport.aclose()

    in_memory(scenario)
