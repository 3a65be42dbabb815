"""How full requests get: by themselves while callers outrun the loop, and at nobody's expense when they do not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from far_end import FarEnd, VirtualLoop, acquainted, client_of, ok, virtually

from dfinery_async.config import PacingConfig
from dfinery_async.runtime import dispatcher

FAST = PacingConfig(events=10**9)


def events(users: int, each: int) -> Iterator[tuple[str, str]]:
    for _ in range(each):
        for user in range(users):
            yield f"u{user}", "e"


def load(users: int, each: int, latency: float) -> FarEnd:
    far_end = FarEnd(latency=latency)

    async def scenario() -> None:
        async with client_of(far_end, pacing=FAST) as client:
            report = await client.load(events(users, each))
            assert report.delivered == users * each

    virtually(scenario())
    return far_end


@pytest.mark.parametrize("latency", [0.0, 0.001, 0.01])
def test_a_load_takes_hardly_more_requests_than_it_must(latency: float) -> None:
    far_end = load(100, 200, latency)

    assert 200 <= len(far_end.calls) <= 1.1 * 200


def test_without_patience_it_takes_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_PATIENCE", 0.0)

    assert len(load(100, 20, 0.0).calls) > 9 * 100


def test_who_hands_over_little_is_sent_in_the_next_turn() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end, pacing=FAST) as client, client.producer() as producer:
            await producer.track("warm", "e")
            await producer.flush()
            for number in range(40):
                await producer.track(f"u{number}", "e")
            before = len(far_end.calls)
            await asyncio.sleep(0)  # the pump
            await asyncio.sleep(0)  # the senders
            await asyncio.sleep(0)  # their transport
            assert len(far_end.calls) == before + 40

    virtually(scenario())


def test_after_a_flood_all_goes_at_once() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=1.0)
        loop = asyncio.get_running_loop()
        async with client_of(far_end, pacing=FAST) as client, client.producer() as producer:
            acquainted(client)
            receipts = [await producer.track(f"u{number % 50}", "e") for number in range(640)]
            handed_over = loop.time()
            await asyncio.gather(*receipts)
            assert loop.time() - handed_over == pytest.approx(1.0, abs=0.02)
            assert len(far_end.calls) == 50

    virtually(scenario())


def test_no_flood_holds_up_a_request_for_more_than_two_seconds() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        far_end = FarEnd(lambda _: ok())
        async with client_of(far_end, pacing=FAST) as client, client.producer() as producer:
            acquainted(client)
            cold = await producer.track("cold", "e")
            began = loop.time()
            for number in range(200 * 64):
                await producer.track(f"u{number % 100}", "e")
                if number % 64 == 0:
                    loop.now += 0.05
                if cold.done():
                    break
            assert cold.done()
            assert 2.0 <= loop.time() - began < 2.5

    virtually(scenario())


def test_whoever_waits_for_room_ends_the_patience() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=0.5)
        loop = asyncio.get_running_loop()
        async with client_of(far_end, pacing=FAST) as client, client.producer(max_pending_events=256) as producer:
            acquainted(client)
            for number in range(512):
                await producer.track(f"u{number % 8}", "e")
            assert loop.time() < 0.6
            report = await producer.flush()
            assert report.delivered == 512

    virtually(scenario())
