"""What a direct call makes of the end of a window that an answer names, or does not name."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import math
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, client_of, failed, ok, virtually

from dfinery_async import RateLimited, RetryConfig

THE_VENDORS_OWN = {
    "x-ratelimit-limit": "1d",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "1682640000000",  # past since 2023
}


EPOCH = 1_800_000_000.0


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have our clock go as the loop's does."""
    monkeypatch.setattr("dfinery_async.runtime.clock.wall", lambda: EPOCH + now())


def nothing_left(reset: str | None, limit: str = "1m") -> dict[str, str]:
    named = {} if reset is None else {"x-ratelimit-reset": reset}
    return {"x-ratelimit-limit": limit, "x-ratelimit-remaining": "0", **named}


def first(answer: Callable[[], httpx.Response]) -> Callable[[Call], httpx.Response | None]:
    """Give one answer to the first call, and successes to those after it."""
    calls: list[Call] = []

    def reply(call: Call) -> httpx.Response | None:
        calls.append(call)
        return answer() if len(calls) == 1 else None

    return reply


PAST = pytest.mark.parametrize(
    "headers",
    [
        THE_VENDORS_OWN,
        {**THE_VENDORS_OWN, "date": email.utils.formatdate(1_800_000_000, usegmt=True)},
        nothing_left(None),
        nothing_left("soon"),
        nothing_left("60"),
        nothing_left("1800000000045"),  # a few milliseconds before the answer comes
    ],
)


@PAST
@pytest.mark.parametrize("status", [200, 429])
def test_a_refusal_that_names_no_end_ahead_is_repeated_after_a_backoff(headers: dict[str, str], status: int) -> None:
    async def scenario() -> None:
        far_end = FarEnd(first(lambda: failed(40401, status, **headers)))
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert len(far_end.calls) == 2
            assert now() < 4

    virtually(scenario())


@PAST
def test_retry_after_counts_where_no_end_ahead_is_named(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        far_end = FarEnd(first(lambda: failed(40401, 429, **headers, **{"retry-after": "7"})))
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert 7 <= far_end.calls[1].at <= 9.1

    virtually(scenario())


@PAST
def test_a_time_that_nobody_named_is_not_made_up(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(lambda call: failed(40401, 429, **headers)), retry=RetryConfig(total=2)) as client:
            with pytest.raises(RateLimited) as caught:
                await client.send_events("u", "e")
            assert caught.value.reset_at is None
            assert client.quota("events").reset_at is None

    virtually(scenario())


@PAST
def test_a_window_that_has_passed_has_room_again(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: ok(**headers))
        async with client_of(far_end) as client:
            for _ in range(5):
                await client.send_events("u", "e")
            assert now() < 2

    virtually(scenario())


@pytest.mark.parametrize("seconds", [26.0, 27.5, 28.9, 29.5, 29.8])
def test_a_reset_within_the_time_of_a_call_is_always_waited_for(seconds: float) -> None:
    async def scenario(chance: float) -> None:
        begin = EPOCH + now()
        reset = str(int((begin + seconds) * 1000))
        far_end = FarEnd(first(lambda: failed(40401, 429, **nothing_left(reset))))
        async with client_of(far_end) as client:
            late(client, chance)
            await client.send_events("u", "e")
            assert seconds - 0.1 <= far_end.calls[1].at <= 30 - 0.05

    for chance in (0.0, 0.5, math.nextafter(1.0, 0.0)):
        virtually(scenario(chance))


def windows(*ends: float) -> Callable[[Call], httpx.Response]:
    """Answer as one with a quota of 600 a minute, of which nothing is left until the first of some ends."""
    begin = EPOCH + now()

    def reply(call: Call) -> httpx.Response:
        end = next(end for end in ends if call.at < end)
        left = "0" if end == ends[0] else "599"
        reset = str(int((begin + end) * 1000))
        return ok(**{"x-ratelimit-limit": "1m", "x-ratelimit-remaining": left, "x-ratelimit-reset": reset})

    return reply


def late(client: Any, chance: float) -> None:
    client._random.random = lambda: chance


def test_a_reset_is_waited_for_in_time_beside_others_who_have_more_time() -> None:
    async def scenario() -> None:
        far_end = FarEnd(windows(40, 100))
        async with client_of(far_end) as client, client.producer() as producer:
            late(client, 0.99)
            await client.send_events("u", "e")
            receipt = await producer.track("v", "e")
            await asyncio.sleep(40.5 - 30)
            await client.send_events("w", "e")
            assert 39.9 < now() < 40.5
            await receipt

    virtually(scenario())


def test_a_call_that_comes_while_others_are_late_waits_with_them_as_long_as_it_can() -> None:
    async def scenario(total: float) -> None:
        far_end = FarEnd(windows(10, 100))
        async with client_of(far_end, retry=RetryConfig(total=total)) as client, client.producer() as producer:
            late(client, 0.9)
            await client.send_events("u", "e")
            receipt = await producer.track("v", "e")
            await asyncio.sleep(10.2)
            await client.send_events("w", "e")
            await receipt
            earliest, latest = (11.5, 12.1) if total > 2 else (10.1, 10.4)
            [back] = [call.at for call in far_end.calls if "w" in call.user]
            assert earliest < back < latest

    virtually(scenario(30.0))
    virtually(scenario(1.0))


def test_a_direct_call_that_takes_all_of_a_lease_leaves_no_producer_waiting_for_ever() -> None:
    async def scenario() -> None:
        far_end = FarEnd(first(lambda: ok(**nothing_left(str(int(((EPOCH + now()) + 10) * 1000))))))
        async with client_of(far_end) as client, client.producer() as producer:
            await client.send_events("u", "e")  # as far as is known the quota is one call a minute
            receipt = await producer.track("v", "e")
            await client.send_events("w", "e")
            assert (await receipt).status == "delivered"

    virtually(scenario())


MOMENT = 1_900_000_000.268


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("limit", ["1m", "1d"])
def test_the_moment_that_the_server_named_is_shown(dated: bool, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = MOMENT - 300
    monkeypatch.setattr("dfinery_async.runtime.clock.wall", lambda: wall + random.random() / 1000)

    async def scenario() -> None:
        headers = {"date": email.utils.formatdate(wall, usegmt=True)} if dated else {}
        headers |= nothing_left(str(int(MOMENT * 1000)), limit)
        async with client_of(FarEnd(lambda call: failed(40401, 429, **headers))) as client:
            with pytest.raises(RateLimited) as caught:
                await client.send_events("u", "e")
            moment = dt.datetime(2030, 3, 17, 17, 46, 40, 268_000, tzinfo=dt.UTC)
            assert caught.value.reset_at == moment
            assert "answered again at 2030-03-17 17:46:40 UTC" in str(caught.value)
            assert {client.quota("events").reset_at for _ in range(5)} == {moment}
            with pytest.raises(RateLimited) as again:
                await client.send_events("u", "e")
            assert again.value.reset_at == moment

    virtually(scenario())


def test_a_window_that_has_ended_is_not_shown() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: ok(**nothing_left(str(int(((EPOCH + now()) + 5) * 1000)))))
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert client.quota("events").reset_at is not None
            await asyncio.sleep(6)
            quota = client.quota("events")
            assert (quota.remaining, quota.reset_at, quota.wait) == (None, None, 0.0)

    virtually(scenario())
