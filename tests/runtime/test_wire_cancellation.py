"""Callers that are cancelled, at each point and at random moments: no connection is lost, and no place for one.

`DFINERY_TEST_SCALE=50` makes it 100,000 at random moments.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import httpx
import pytest
from cancel_kit import WAYS, At
from export_bench import until
from wire_bench import URL, body_of, in_memory, limits, slowly, works
from wire_cases import head
from wire_kit import SCALE, TRANSPORTS, Outcome, ask, fast, pieces
from wire_loop import wire
from wire_server import Gate, Request, Server, answer

from dfinery_async.runtime.wire.pool import Pool
from dfinery_async.runtime.wire.transport import FastTransport

# At each point, in memory.


async def read_slowly(transport: FastTransport) -> None:
    wire().script = lambda request, line: line.say(head("content-length: 5"), *[b"x"] * 5)
    response = await transport.handle_async_request(httpx.Request("GET", URL))
    try:
        async for _ in body_of(response):
            await asyncio.sleep(0)
    finally:
        await response.aclose()


Call = Callable[[FastTransport], Coroutine[Any, Any, Any]]

CALLS: dict[str, Call] = {
    "get": lambda transport: ask(transport, URL),
    "post": lambda transport: ask(transport, URL, method="POST", content=b"hello"),
    "post a stream": lambda transport: ask(transport, URL, method="POST", content=pieces(b"a", b"b", b"c")),
    "read slowly": read_slowly,
}


async def taken(transport: FastTransport, places: int) -> list[asyncio.Task[Outcome]]:
    """Take all places, for a while."""
    calls = [asyncio.create_task(ask(transport, URL)) for _ in range(places)]
    await asyncio.sleep(0.005)
    return calls


@pytest.mark.parametrize("state", ["cold", "warm", "full"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CALLS)
def test_a_request_may_be_cancelled_anywhere(name: str, way: str, state: str) -> None:
    async def scenario() -> None:
        wire().connecting = lambda: asyncio.sleep(0.001)
        for point in count(1):
            async with fast(**limits(2)) as transport:
                wire().script = slowly(0.01)
                if state == "warm":
                    await works(transport, 2)
                others = await taken(transport, 2 if state == "full" else 0)
                watched = await WAYS[way](CALLS[name](transport), point)
                assert {outcome.status for outcome in await asyncio.gather(*others)} <= {200}
                await works(transport, 2)
                stats = transport.stats()
                assert (stats.connections, stats.idle, stats.waiting) == (2, 2, 0)
                assert len(wire().open) == 2
            if watched.fired_at is None:
                break
        assert point > 1

    in_memory(scenario)


@pytest.mark.parametrize("cancelled", [1, 2, 5, 10])
def test_who_is_cancelled_while_waiting_hands_on_what_was_given(cancelled: int) -> None:
    async def scenario() -> None:
        def given() -> None:  # to the first, who has not heard of it
            for waiter in queue[:cancelled]:
                waiter.cancel()

        wire().script = slowly(1.0)
        async with fast(**limits(1)) as transport:
            first = await taken(transport, 1)
            calls = [ask(transport, f"{URL}{number}", timeout={"pool": 99.0}) for number in range(10)]
            queue = [asyncio.create_task(At(call, 1, given, woken=True)) for call in calls[:1]]
            queue += [asyncio.create_task(call) for call in calls[1:]]
            await asyncio.wait([*first, *queue])
            assert [waiter.cancelled() for waiter in queue] == [True] * cancelled + [False] * (10 - cancelled)
            assert {waiter.result().status for waiter in queue[cancelled:]} <= {200}
            await works(transport)

    in_memory(scenario)


def test_a_place_that_is_not_handed_on_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "_hand_on", lambda self, given: None)
    with pytest.raises(AssertionError):
        test_who_is_cancelled_while_waiting_hands_on_what_was_given(10)


def test_cancelling_whoever_waits_leaves_the_order_of_the_others() -> None:
    async def scenario() -> None:
        wire().script = slowly(1.0)
        async with fast(**limits(1)) as transport:
            paths = [f"{URL}{number}" for number in range(10)]
            queue = [asyncio.create_task(ask(transport, path, timeout={"pool": 99.0})) for path in paths]
            await asyncio.sleep(0.5)
            for waiter in queue[2::2]:
                waiter.cancel()
            await asyncio.wait(queue)
            assert [request.line[5] for request in wire().requests] == ["0", "1", "3", "5", "7", "9"]

    in_memory(scenario)


# At random moments, over loopback.

PLACES = 8


async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
    path = request.line.split()[1]
    body = path.encode() * (50 if path.endswith("0") else 1)
    writer.write(answer(body, "200 OK", *["connection: close"] * path.endswith("7")))


async def churn(transport: httpx.AsyncBaseTransport, server: Server, number: int, chance: random.Random) -> int:
    """Let callers come and be cancelled after some turns of the loop. Returns how many were."""
    cancelled, begun = 0, count()

    async def call(each: int) -> None:
        url = f"http://127.0.0.1:{server.port}/{each}"
        content = [None, b"x" * 100, b"x" * 100_000, pieces(b"a", b"b")][each % 4]
        outcome = await ask(transport, url, method="POST", content=content)
        path = b"/%d" % each
        assert outcome.body == path * (50 if path.endswith(b"0") else 1), outcome

    async def caller() -> None:
        nonlocal cancelled
        while cancelled < number:
            task = asyncio.create_task(call(next(begun)))
            for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 30))):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                cancelled += 1
            elif (error := task.exception()) is not None:
                raise error

    await asyncio.gather(*(caller() for _ in range(PLACES * 2)))
    return cancelled


async def usable(transport: httpx.AsyncBaseTransport, server: Server) -> int:
    """How many of the places can still be used at once."""
    server.script = Gate(PLACES)
    url = f"http://127.0.0.1:{server.port}/"
    calls = [ask(transport, url, timeout={"pool": 0.5, "read": 1.0}) for _ in range(PLACES)]
    return sum(outcome.status == 200 for outcome in await asyncio.gather(*calls))


@pytest.mark.asyncio
@pytest.mark.timeout(3600)
async def test_no_connection_is_lost_by_cancelled_callers() -> None:
    server = Server(echo)
    async with server.serving(), fast(limits=httpx.Limits(max_connections=PLACES)) as transport:
        assert await churn(transport, server, 2000 * SCALE, random.Random(1)) >= 2000 * SCALE
        assert transport.stats().waiting == 0
        await until(lambda: transport.stats().connections == transport.stats().idle)
        await until(lambda: server.open == transport.stats().connections)
        assert await usable(transport, server) == PLACES
        assert server.most_in_air <= PLACES * 2  # those that were cut stay a moment in the server
    assert server.open == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_httpx_loses_them_in_the_same_way() -> None:
    """The control. The day on which this fails, httpcore has been mended (encode/httpcore#1093)."""
    server = Server(echo)
    transport = TRANSPORTS["httpx"](limits=httpx.Limits(max_connections=PLACES))
    async with server.serving(), transport:
        lost = False
        try:
            async with asyncio.timeout(10.0):
                await churn(transport, server, 500, random.Random(1))
        except (TimeoutError, AssertionError):
            lost = True
        assert lost or await usable(transport, server) < PLACES
    gc.collect()  # what it has lost stays open until here, and may say so here
