"""How long a direct call may take, what it tells in the end, and that closing the client ends it."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, client_of, failed, ok, virtually
from wire_bench import in_memory
from wire_loop import Line, wire
from wire_server import Request

from dfinery_async import (
    ClientClosed,
    ConnectionConfig,
    ConnectionFailed,
    DfineryClient,
    Event,
    PacingConfig,
    RateLimited,
    RetryConfig,
    ServerError,
    TimeoutConfig,
)

MANY = [Event("e", properties={"n": number}) for number in range(250)]


def now() -> float:
    return asyncio.get_running_loop().time()


class Silent(httpx.AsyncBaseTransport):
    """Gives some answers, and then none any more."""

    def __init__(self, *answers: httpx.Response, latency: float = 0.0) -> None:
        self.answers = [*answers]
        self.latency = latency
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if not self.answers:
            await asyncio.Event().wait()
        await asyncio.sleep(self.latency)
        return self.answers.pop(0)


@pytest.mark.parametrize("troubles", [0, 1, 4])
def test_an_attempt_that_hangs_ends_with_the_time_of_its_call(troubles: int) -> None:
    async def scenario() -> None:
        far_end = Silent(*(failed(50000) for _ in range(troubles)), latency=5.0)
        async with client_of(far_end) as client:
            with pytest.raises(ConnectionFailed) as caught:
                await client.send_events("u", "e")
            assert caught.value.ambiguous
            assert caught.value.attempts == far_end.calls == troubles + 1
            assert now() == pytest.approx(30, abs=0.1)

    virtually(scenario())


def test_an_attempt_that_hangs_on_our_wire_ends_with_the_time_of_its_call() -> None:
    def script(request: Request, line: Line) -> None:
        asyncio.get_running_loop().call_later(20.0, line.say, b"HTTP/1.1 200 OK\r\nx:")
        asyncio.get_running_loop().call_later(40.0, line.say, b"1")

    async def scenario() -> None:
        wire().script = script
        async with DfineryClient("svc", import_token="x", base_url="http://127.0.0.1:1") as client:
            begin = now()
            with pytest.raises(ConnectionFailed):
                await client.send_events("u", "e")
            assert now() - begin == pytest.approx(30, abs=0.1)

    in_memory(scenario)


def test_a_call_waits_for_a_place_no_longer_than_it_may_take() -> None:
    async def scenario() -> None:
        settings: Any = {"connections": ConnectionConfig(max_connections=1), "retry": RetryConfig(total=10)}
        async with client_of(Silent(ok()), timeouts=TimeoutConfig(total=90, read=90), **settings) as client:
            await client.send_events("u", "e")
            slow = client.producer()
            await slow.track("u", "e")  # hangs
            await asyncio.sleep(1)
            begin = now()
            with pytest.raises(ConnectionFailed, match="no free connection") as caught:
                await client.send_events("u", "e")
            assert not caught.value.ambiguous
            assert now() - begin == pytest.approx(10, abs=0.1)
            await slow.aclose(timeout=0)

    virtually(scenario())


def test_without_time_for_retries_the_time_outs_alone_bound_the_attempt() -> None:
    async def scenario() -> None:
        far_end = Silent(ok(), latency=50.0)
        async with client_of(far_end, retry=RetryConfig(total=0)) as client:
            await client.send_events("u", "e")
            with pytest.raises(ConnectionFailed):
                await client.send_events("u", "e")
            assert now() == pytest.approx(110, abs=0.2)
        assert far_end.calls == 2

    virtually(scenario())


def test_the_time_is_one_for_all_requests_of_a_call() -> None:
    """Each request meets 12 s of trouble; two of them fit into the time of a call."""

    async def scenario() -> None:
        since: dict[int, float] = {}

        def answer(call: Call) -> httpx.Response | None:
            return failed(50000) if call.at - since.setdefault(call.numbers[0], call.at) < 12 else None

        async with client_of(FarEnd(answer), retry=RetryConfig(cap=0.5)) as client:
            with pytest.raises(ServerError) as caught:
                await client.send_events("u", MANY)
            assert caught.value.delivered == 200
            assert now() <= 30.1

    virtually(scenario())


def test_any_number_of_requests_that_go_well_takes_none_of_the_time() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=2.0)
        async with client_of(far_end) as client:
            await client.send_events("u", MANY * 10)
        assert len(far_end.calls) == 25
        assert now() > 45

    virtually(scenario())


def test_a_request_has_a_second_after_trouble_that_took_all_of_the_time() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(50000) if call.at < 27.9 and call.numbers[0] == 0 else None, latency=0.9)
        async with client_of(far_end, retry=RetryConfig(cap=0.05)) as client:
            await client.send_events("u", MANY)
        assert len({call.numbers[0] for call in far_end.calls}) == 3

    virtually(scenario())


def used_up(seconds: float) -> dict[str, str]:
    reset = str(int((time.time() + seconds) * 1000))
    return {"x-ratelimit-limit": "1H", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}


def test_what_the_api_said_last_is_told_and_not_that_the_quota_is_used_up_meanwhile() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(50000, 200, "trouble", **used_up(1800)))
        async with client_of(far_end) as client:
            with pytest.raises(ServerError, match="trouble") as caught:
                await client.send_events("u", "e")
            assert (caught.value.code, caught.value.attempts) == (50000, len(far_end.calls)) == (50000, 1)
            with pytest.raises(RateLimited) as local:  # no request at all
                await client.send_events("u", "e")
            assert (local.value.code, local.value.attempts, len(far_end.calls)) == (None, 0, 1)

    virtually(scenario())


def test_a_refusal_of_the_apis_own_keeps_its_code_and_its_attempts() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40401, 429, "TOO_MANY_REQUEST", **{"retry-after": "11"}))
        async with client_of(far_end, pacing=PacingConfig(limit_rate=1 / 14)) as client:
            with pytest.raises(RateLimited) as caught:
                await client.send_events("u", "e")
            assert (caught.value.code, caught.value.message) == (40401, "TOO_MANY_REQUEST")
            assert caught.value.attempts == len(far_end.calls) > 1
            assert now() <= 30.1

    virtually(scenario())


class Exports(httpx.AsyncBaseTransport):
    """Refuses exports, and says what is left."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = [*answers]
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return self.answers.pop(0)


def test_an_export_that_the_quota_keeps_from_trying_again_tells_what_it_met() -> None:
    async def scenario() -> None:
        trouble = httpx.Response(500, json={"result": "fail", "message": "unknown_error"}, headers=used_up(1800))
        far_end = Exports(trouble)
        async with client_of(far_end) as client:
            with pytest.raises(ServerError, match="unknown_error") as caught:
                await client.export_profiles().__aenter__()
            assert caught.value.attempts == far_end.calls == 1
            with pytest.raises(RateLimited) as local:
                await client.export_profiles().__aenter__()
            assert (local.value.attempts, far_end.calls) == (0, 1)

    virtually(scenario())


@pytest.mark.parametrize("kind", ["call", "export", "throttled"])
def test_closing_the_client_ends_calls_between_their_attempts_at_once(kind: str) -> None:
    async def scenario() -> None:
        answer = failed(40401, 429, **{"retry-after": "20"}) if kind == "throttled" else httpx.Response(503)
        client = client_of(httpx.MockTransport(lambda request: answer), retry=RetryConfig(base=30.0))
        client._random.random = lambda: math.nextafter(1.0, 0.0) * 0.9  # type: ignore[method-assign]
        call = client.export_profiles().__aenter__() if kind == "export" else client.send_events("u", "e")
        waiting = asyncio.ensure_future(call)
        await asyncio.sleep(2)
        assert not waiting.done()
        await client.aclose()
        with pytest.raises(ClientClosed):
            await waiting
        assert now() < 2.1

    virtually(scenario())


def test_a_caller_that_is_cancelled_between_attempts_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        far_end = httpx.MockTransport(lambda request: httpx.Response(503))
        async with client_of(far_end, retry=RetryConfig(base=30.0)) as client:
            client._random.random = lambda: 0.9  # type: ignore[method-assign]
            call = asyncio.ensure_future(client.send_events("u", "e"))
            await asyncio.sleep(2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0.001)
            assert len(client._tasks) == 1  # the pacer's

    virtually(scenario())


def test_an_attempt_that_has_hardly_any_time_does_not_hide_what_the_api_said() -> None:
    async def scenario() -> None:
        refusals = [failed(40401, 429, "TOO_MANY_REQUEST", **{"retry-after": "29"})]
        far_end = Silent(*refusals, latency=0.4)
        async with client_of(far_end) as client:
            client._random.random = lambda: 0.5  # type: ignore[method-assign]
            with pytest.raises(RateLimited) as caught:
                await client.send_events("u", "e")
            assert (caught.value.code, caught.value.attempts) == (40401, far_end.calls) == (40401, 2)
            assert now() == pytest.approx(30, abs=0.1)

    virtually(scenario())
