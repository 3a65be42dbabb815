"""The producers of a client: options that cannot work, and the books of all of them as one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from far_end import FarEnd, client_of, failed, virtually

from dfinery_async import ConfigError, ConnectionConfig


@pytest.mark.parametrize("wrong", ["x", 1.5, True, 0, [4]])
def test_requests_in_the_air_are_a_number(wrong: Any) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            with pytest.raises(ConfigError, match=r"^max_in_flight must be "):
                client.producer(max_in_flight=wrong)

    virtually(scenario())


def test_there_are_no_more_requests_in_the_air_than_connections() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        few = ConnectionConfig(max_connections=3)
        async with client_of(far_end, connections=few) as client, client.producer(max_in_flight=50) as producer:
            await client.send_events("warm", "e")
            for number in range(100):
                await producer.track(f"u{number}", "e")
        assert far_end.most_in_air == 3

    virtually(scenario())


def test_requests_are_counted_when_they_leave() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(50000) if call.at < 5 else None, latency=5.0)
        async with client_of(far_end) as client:
            producer = client.producer()
            await producer.track("u", "e")
            await asyncio.sleep(1.0)
            assert (producer.stats().requests, producer.stats().retries) == (1, 0)
            await asyncio.sleep(5.0)
            report = await producer.aclose(timeout=0)
            assert (report.requests, report.retries, report.dropped) == (2, 1, 1)
            assert len(far_end.calls) == 2

    virtually(scenario())


def test_a_producer_that_has_ended_has_no_room() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            for _ in range(3):
                async with client.producer(max_pending_events=10) as producer:
                    await producer.track("u", "e")
                    assert client.stats().capacity == 10
                assert client.stats().capacity == 0
            assert client.stats().delivered == 3

    virtually(scenario())
