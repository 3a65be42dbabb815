"""Connections in virtual time: how many, for how long, for whom, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from export_bench import until
from far_end import virtually
from wire_cases import head
from wire_kit import Outcome, ask, fast, pieces
from wire_loop import Line, WireLoop, wire
from wire_server import Request, answer

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
        await asyncio.sleep(0)
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


# How many.


@pytest.mark.parametrize(("most", "calls", "opened"), [(1, 5, 1), (3, 10, 3), (None, 150, 150), (100, 100, 100)])
def test_connections_are_as_many_as_allowed(most: int | None, calls: int, opened: int) -> None:
    async def scenario() -> None:
        wire().script = slowly(1.0)
        async with fast(**limits(most)) as transport:
            outcomes = await asyncio.gather(*(ask(transport, f"{URL}{number}") for number in range(calls)))
            stats = transport.stats()
            assert (stats.connections, stats.idle, stats.waiting, stats.opened) == (opened, opened, 0, opened)
            await works(transport, opened)
        assert [outcome.body for outcome in outcomes] == [b"GET /%d HTTP/1.1" % number for number in range(calls)]
        assert len(wire().lines) == opened

    in_memory(scenario)


@pytest.mark.parametrize("idle", [0, 1, 3])
def test_idle_connections_are_as_many_as_allowed(idle: int) -> None:
    async def scenario() -> None:
        async with fast(**limits(10, idle)) as transport:
            await works(transport, 10)
            await until(lambda: len(wire().open) == idle)
            assert (transport.stats().connections, transport.stats().idle) == (idle, idle)
            await works(transport, 10)

    in_memory(scenario)


def test_the_connection_used_last_is_used_next() -> None:
    async def scenario() -> None:
        async with fast(**limits(10)) as transport:
            await works(transport, 10)
            wire().requests.clear()
            for _ in range(10):
                await ask(transport, URL)
            assert len({request.connection for request in wire().requests}) == 1

    in_memory(scenario)


def test_who_waits_is_served_in_order() -> None:
    async def scenario() -> None:
        wire().script = slowly(1.0)
        async with fast(**limits(2)) as transport:
            calls = [asyncio.create_task(ask(transport, f"{URL}{number}", timeout={"pool": None})) for number in range(20)]
            await asyncio.sleep(0.5)
            assert (transport.stats().waiting, transport.stats().connections) == (18, 2)
            await asyncio.gather(*calls)
        assert [request.line for request in wire().requests] == [f"GET /{number} HTTP/1.1" for number in range(20)]
        assert asyncio.get_running_loop().time() == pytest.approx(10.0, abs=0.01)

    in_memory(scenario)


def test_one_place_serves_many_addresses() -> None:
    async def scenario() -> None:
        wire().script = slowly(0.1)
        async with fast(**limits(1)) as transport:
            for _ in range(3):
                for name in ("a", "b"):
                    assert (await ask(transport, f"http://{name}.example/")).status == 200
            hosts = ["a", "b", "c", "a", "b", "c", "c"]
            outcomes = await asyncio.gather(*(ask(transport, f"http://{name}.example/") for name in hosts))
            assert [outcome.status for outcome in outcomes] == [200] * 7
            assert transport.stats().connections == 1
        for line in wire().lines:
            assert len({request.headers["host"] for request in line.requests}) == 1

    in_memory(scenario)


# For how long.


@pytest.mark.parametrize("expiry", [0.0, 2.0, 5.0, None])
def test_an_idle_connection_expires(expiry: float | None) -> None:
    async def scenario() -> None:
        async with fast(**limits(3, None, expiry)) as transport:
            await works(transport, 3)
            if expiry:
                await asyncio.sleep(expiry * 0.9)
                assert len(wire().open) == 3
                await ask(transport, URL)
                await asyncio.sleep(expiry * 0.9)
                await ask(transport, URL)
                assert len(wire().lines) == 3
            await asyncio.sleep((expiry or 0.0) * 2 + 60.0)
            await ask(transport, URL)
            assert len(wire().lines) == (3 if expiry is None else 4)
            left = len(wire().open)
            assert left == (3 if expiry is None else 1), "idle connections stay though nobody asks for them"
            assert transport.stats().connections == left

    in_memory(scenario)


def test_a_connection_in_use_does_not_expire() -> None:
    async def scenario() -> None:
        wire().script = slowly(3.0)
        async with fast(**limits(1, None, 1.0)) as transport:
            assert (await ask(transport, URL)).status == 200
            assert (await ask(transport, URL)).status == 200
            assert len(wire().lines) == 1

    in_memory(scenario)


def test_a_connection_grows_no_older_than_allowed() -> None:
    async def scenario() -> None:
        wire().script = slowly(1.0)
        async with fast(**limits(1), max_age=10.0) as transport:
            for _ in range(35):
                assert (await ask(transport, URL)).status == 200
        ages = [len(line.requests) for line in wire().lines]
        assert len(ages) == 4
        assert max(ages) in {10, 11}  # one under way is not cut

    in_memory(scenario)


# What ends them.


def idle_end(line: Line) -> None:
    line.end()


def idle_reset(line: Line) -> None:
    line.reset()


def idle_408(line: Line) -> None:
    line.say(answer(b"too slow", "408 Request Timeout", "connection: close"))
    line.end()


def idle_garbage(line: Line) -> None:
    line.say(b"\r\n")


def idle_answer(line: Line) -> None:
    line.say(answer(b"smuggled"))


@pytest.mark.parametrize("end", [idle_end, idle_reset, idle_408, idle_garbage, idle_answer])
def test_what_ends_an_idle_connection_costs_no_error(end: Callable[[Line], None]) -> None:
    async def scenario() -> None:
        async with fast(**limits(2)) as transport:
            for number in range(1, 4):
                wire().script = echo
                assert (await ask(transport, f"{URL}x")).body == b"GET /x HTTP/1.1"
                assert len(wire().lines) == number
                end(wire().lines[-1])
                await asyncio.sleep(1.0)
                assert transport.stats().connections == 0
                assert not wire().lines[-1].open
            await works(transport, 2)

    in_memory(scenario)


@pytest.mark.parametrize("after", [1, 2, 5])
@pytest.mark.parametrize("told", [True, False])
def test_a_server_that_closes_after_some_requests(after: int, told: bool) -> None:
    def script(request: Request, line: Line) -> None:
        last = len(line.requests) == after
        line.say(answer(b"x", "200 OK", *["connection: close"] * (told and last)))
        if last:
            line.end()

    async def scenario() -> None:
        wire().script = script
        async with fast(**limits(1)) as transport:
            for _ in range(20):
                assert (await ask(transport, URL)).status == 200
                await asyncio.sleep(0.1)
        assert len(wire().lines) == 20 // after

    in_memory(scenario)


async def fails(transport: httpx.AsyncBaseTransport, error: str, after: float, **options: Any) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await ask(transport, URL, **options)
    assert outcome.error == error
    assert loop.time() - began == pytest.approx(after, abs=0.01)


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


def test_no_deadline_at_all() -> None:
    async def scenario() -> None:
        wire().script = slowly(100_000.0)
        async with fast(**limits(1)) as transport:
            calls = [ask(transport, URL, timeout=dict.fromkeys(("connect", "read", "write", "pool"))) for _ in "ab"]
            assert [outcome.status for outcome in await asyncio.gather(*calls)] == [200, 200]
            request = httpx.Request("GET", URL)
            assert (await transport.handle_async_request(request)).status_code == 200

    in_memory(scenario)


# Closing.


def test_closing_ends_all_there_is() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        transport = fast(**limits(3))
        await works(transport, 2)
        wire().script = lambda request, line: None
        stream = await streamed(transport)
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


async def streamed(transport: FastTransport) -> httpx.Response:
    """An answer whose head is there, and whose body is not."""
    wire().script = lambda request, line: line.say(head("content-length: 100") + b"x")
    request = httpx.Request("GET", URL, extensions={"timeout": {"read": 5.0}})
    return await transport.handle_async_request(request)
