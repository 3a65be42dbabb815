"""Pacing by the quota, in virtual time, against an API with fixed windows of unknown phase."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from far_end import Call, FarEnd, client_of, failed, ok, virtually

from dfinery_async import PacingConfig, RateLimited


class Windows:
    """A quota of `limit` calls in clock-aligned windows, told in the headers of every answer."""

    def __init__(self, limit: int, period: float = 60.0, *, phase: float = 0.0, status: int = 429) -> None:
        self.limit = limit
        self.period = period
        self.phase = phase
        self.status = status
        self.used: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()

    def __call__(self, call: Call) -> Any:
        now = asyncio.get_running_loop().time() + self.phase
        window = int(now // self.period)
        left = (window + 1) * self.period - now
        refused = self.used[window] >= self.limit
        (self.refused if refused else self.used)[window] += 1
        headers = {
            "x-ratelimit-limit": f"{int(self.period)}s",
            "x-ratelimit-remaining": str(self.limit - self.used[window]),
            "x-ratelimit-reset": str(int((time.time() + left) * 1000)),
        }
        return failed(40401, self.status, "TOO_MANY_REQUEST", **headers) if refused else ok(**headers)


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("phase", [0.0, 17.0, 44.0])
def test_all_of_the_quota_is_used_and_none_exceeded(phase: float, status: int) -> None:
    """The service allows far less than the documented default; the headers say so."""

    async def scenario() -> None:
        windows = Windows(600, phase=phase, status=status)
        far_end = FarEnd(windows)
        async with client_of(far_end) as client:
            producer = client.producer(max_pending_events=1000)
            feeder = asyncio.create_task(feed(producer))
            await asyncio.sleep(300)
            feeder.cancel()
            await producer.aclose(timeout=0)
        assert sum(windows.refused.values()) <= 64  # at most those in the air before the first answer
        whole = [windows.used[window] for window in range(1, 4)]
        assert sum(whole) >= 0.97 * 600 * len(whole)

    async def feed(producer: Any) -> None:
        number = 0
        while True:
            await producer.track(f"u{number}", "e")
            number += 1

    virtually(scenario())


def test_the_documented_quota_holds_where_no_header_says_more() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=0.01)
        async with client_of(far_end, pacing=PacingConfig(events=600)) as client, client.producer() as producer:
            for number in range(300):
                await producer.track(f"u{number}", "e")
            await producer.flush()
        assert 28 <= far_end.calls[-1].at <= 31

    virtually(scenario())


def test_one_familys_limit_never_delays_another() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40401, 429) if call.path.endswith("user-profile") else None)
        async with client_of(far_end) as client:
            producer = client.producer()
            await producer.set_profile("p", {"a": 1})
            await asyncio.sleep(5)
            receipts = [await producer.track(f"u{number}", "e") for number in range(100)]
            before = asyncio.get_running_loop().time()
            for receipt in receipts:
                await receipt
            assert asyncio.get_running_loop().time() - before < 1
            await producer.aclose(timeout=0)

    virtually(scenario())


def test_a_direct_call_waits_for_a_near_reset_and_not_for_a_far_one() -> None:
    async def scenario() -> None:
        near, far = Windows(1, period=20.0), Windows(1, period=3600.0)
        far_end = FarEnd(lambda call: (near if call.events else far)(call))
        async with client_of(far_end) as client:
            await client.send_events("u", "first")
            await client.send_events("u", "second")
            assert 19.9 <= far_end.calls[-1].at <= 22
            await client.upsert_identity("u")
            with pytest.raises(RateLimited) as caught:
                await client.upsert_identity("u")
            assert caught.value.reset_at is not None
            assert 3400 < caught.value.reset_at.timestamp() - time.time() < 3700
            assert asyncio.get_running_loop().time() < 60

    virtually(scenario())


def test_the_quota_shows_what_is_known() -> None:
    async def scenario() -> None:
        far_end = FarEnd(Windows(500, period=60.0))
        async with client_of(far_end) as client:
            before = client.quota("events")
            assert (before.limit_period, before.remaining, before.reset_at) == (None, None, None)
            assert before.pace == pytest.approx(1_000_000 / 60)
            await client.send_events("u", "e")
            after = client.quota("events")
            assert (after.family, after.limit_period, after.remaining) == ("events", 60.0, 499)
            assert after.pace == pytest.approx(499 / 60, rel=0.1)
            assert after.reset_at is not None
            assert after.reset_at.tzinfo is not None
            assert client.quota("exports").pace is None

    virtually(scenario())


def test_the_quota_shows_how_long_calls_wait_and_not_how_long_the_window_lasts() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(lambda call: failed(40401, 429, **{"retry-after": "5"}))) as client:
            assert client.quota("events").wait == 0
            producer = client.producer()
            await producer.track("u", "e")
            await asyncio.sleep(1)
            assert client.quota("events").wait == pytest.approx(4, abs=0.2)
            assert client.quota("identities").wait == 0
            await producer.aclose(timeout=0)

    virtually(scenario())


def test_a_share_of_the_quota_is_kept() -> None:
    async def scenario() -> None:
        windows = Windows(600)
        far_end = FarEnd(windows)
        async with client_of(far_end, pacing=PacingConfig(share=0.5)) as client:
            producer = client.producer()
            for number in range(1000):
                await producer.track(f"u{number}", "e")
            await asyncio.sleep(119)
            await producer.aclose(timeout=0)
        assert windows.used[0] <= 320

    virtually(scenario())


def test_a_cancelled_wait_passes_its_leave_on() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=0.001)
        async with client_of(far_end, pacing=PacingConfig(identities=60)) as client:
            calls = [asyncio.create_task(client.upsert_identity(f"u{number}")) for number in range(10)]
            await asyncio.sleep(2.5)
            for call in calls[::2]:
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert [outcome for outcome in done[1::2] if outcome is not None] == []
            assert far_end.calls[-1].at < 10

    virtually(scenario())


def most_within(times: list[float], seconds: float) -> int:
    """Return how many calls there were at the most in any span of so many seconds."""
    return max(sum(begin <= at < begin + seconds for at in times) for begin in times)


@pytest.mark.parametrize(("calls", "seconds"), [(6, 60.0), (30, 1.0), (600, 1.0), (1, 600.0)])
def test_a_limit_of_ones_own_is_kept_by_producers(calls: int, seconds: float) -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        pacing = PacingConfig(limit_rate=calls / seconds)
        async with client_of(far_end, pacing=pacing) as client, client.producer() as producer:
            for number in range(3 * calls):
                await producer.track(f"u{number}", "e")
            await producer.flush()
        times = [call.at for call in far_end.calls]
        # Early: a lease of ten milliseconds' calls, and what a late timer may make up for.
        assert most_within(times, seconds) <= calls + 1 + 0.03 * calls / seconds
        assert times[-1] <= 3 * seconds + 0.05  # the first goes alone
        assert client.quota("events").pace == calls / seconds

    virtually(scenario())


def test_a_limit_of_ones_own_is_kept_by_direct_calls_of_each_family_by_itself() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end, pacing=PacingConfig(limit_rate=0.5)) as client:
            begin = asyncio.get_running_loop().time()
            await asyncio.gather(*(client.send_events(f"u{number}", ["e"]) for number in range(5)))
            assert asyncio.get_running_loop().time() - begin == pytest.approx(8, abs=0.2)
            await client.upsert_identity("u")
            assert asyncio.get_running_loop().time() - begin == pytest.approx(8, abs=0.3)

    virtually(scenario())


def test_a_direct_call_waits_for_its_turn_no_longer_than_a_call_may_take() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(), pacing=PacingConfig(limit_rate=1 / 60)) as client:
            await client.send_events("u", ["e"])
            with pytest.raises(RateLimited, match="wait for their turn"):
                await client.send_events("u", ["e"])
            assert asyncio.get_running_loop().time() == pytest.approx(30, abs=0.2)

    virtually(scenario())


@pytest.mark.parametrize("answer", ["more than the limit", "throttled", "used up"])
def test_no_answer_raises_a_limit_of_ones_own(answer: str) -> None:
    """A hold that ends takes nothing off the time that the user's own limit asks for."""

    def reply(call: Call) -> Any:
        reset = str(int((time.time() + 1) * 1000))
        if answer == "throttled" and len(far_end.calls) % 2:
            return failed(40401, 429, "TOO_MANY_REQUEST", **{"retry-after": "1"})
        left = "0" if answer == "used up" else "1000000"
        return ok(**{"x-ratelimit-limit": "1s", "x-ratelimit-remaining": left, "x-ratelimit-reset": reset})

    async def scenario() -> None:
        async with client_of(far_end, pacing=PacingConfig(limit_rate=0.1)) as client, client.producer() as producer:
            for number in range(6):
                await producer.track(f"u{number}", "e")
            await producer.flush()
        assert most_within([call.at for call in far_end.calls], 9.9) == 1

    far_end = FarEnd(reply)
    virtually(scenario())


def test_a_smaller_quota_counts_beside_a_limit_of_ones_own() -> None:
    async def scenario() -> None:
        far_end = FarEnd(Windows(10))
        async with client_of(far_end, pacing=PacingConfig(limit_rate=100.0)) as client, client.producer() as producer:
            for number in range(25):
                await producer.track(f"u{number}", "e")
            await producer.flush()
        assert far_end.calls[-1].at > 60

    virtually(scenario())


def test_a_server_that_is_slow_to_answer_holds_up_no_direct_call() -> None:
    """Before the first answer calls go one, two, four, …; none of them may be given up while it waits for its turn."""

    async def scenario() -> None:
        far_end = FarEnd(latency=5.0)
        async with client_of(far_end) as client:
            began = asyncio.get_running_loop().time()
            await asyncio.gather(*(client.send_events(f"u{number}", "e") for number in range(50)))
            assert asyncio.get_running_loop().time() - began < 6.0

    virtually(scenario())
