"""Connections in virtual time: how many, for how long, for whom, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from export_bench import until
from wire_bench import URL, echo, in_memory, limits, slowly, works
from wire_kit import ask, fast
from wire_loop import Line, wire
from wire_server import Request, answer

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
            calls = [
                asyncio.create_task(ask(transport, f"{URL}{number}", timeout={"pool": None})) for number in range(20)
            ]
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
