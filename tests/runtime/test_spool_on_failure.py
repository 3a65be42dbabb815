"""A spool that is written only when the API is away, and when the producer closes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from far_end import FarEnd, balanced, client_of
from spool_kit import (
    by_user,
    bytes_in,
    delivered_order,
    down,
    leave_behind,
    numbered,
    rows_on_disk,
    rows_on_disk_now,
    together,
    virtually,
)

from dfinery_async import (
    Event,
    QueueFull,
    SpoolConfig,
)


def memory_first(folder: Path) -> SpoolConfig:
    return SpoolConfig(path=folder, mode="on_failure")


def test_on_failure_writes_nothing_while_all_is_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(spool=memory_first(tmp_path)) as producer:
            for number in range(100):
                await producer.track("u", Event("e", properties={"n": number, "canary": "CANARY-7"}))
                assert b"CANARY-7" not in bytes_in(tmp_path)
            assert (await producer.flush()).delivered == 100
        assert b"CANARY-7" not in bytes_in(tmp_path)

    virtually(scenario())


def test_on_failure_writes_when_the_api_is_away_and_goes_back_to_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        away = True
        far_end = FarEnd(lambda call: httpx.ConnectError("refused") if away else None)
        async with client_of(far_end) as client:
            producer = client.producer(spool=memory_first(tmp_path), max_pending_events=50)
            await producer.flush()
            await together(producer, range(40), users=3)
            assert rows_on_disk_now(producer) == 0
            await asyncio.sleep(10)
            assert rows_on_disk_now(producer) == 40
            await together(producer, range(40, 500), users=3)
            assert rows_on_disk_now(producer) == 500
            assert balanced(producer.stats())
            away = False
            assert (await producer.flush()).delivered == 500
            await asyncio.sleep(3)
            assert not producer._spool.engaged  # type: ignore[attr-defined]
            await producer.track("u0", numbered(500))
            assert (await producer.aclose()).delivered == 501
        assert all(numbers == sorted(numbers) for numbers in delivered_order(far_end).values())
        assert sum(len(numbers) for numbers in delivered_order(far_end).values()) == 501

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_on_failure_lets_those_in_who_wait_for_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=memory_first(tmp_path), max_pending_events=5)
            tasks = [asyncio.create_task(producer.track("u", numbered(number))) for number in range(20)]
            await asyncio.gather(*tasks)
            report = await producer.aclose(timeout=0)
            assert (report.accepted, report.spooled) == (20, 20)

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 20


@pytest.mark.parametrize("timeout", [0, 1.0])
def test_on_failure_writes_at_close(tmp_path: Path, timeout: float) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=60)) as client:
            producer = client.producer(spool=memory_first(tmp_path))
            receipts = [await producer.track(f"u{number % 3}", numbered(number)) for number in range(100)]
            await asyncio.sleep(0.5)
            began = asyncio.get_running_loop().time()
            report = await producer.aclose(timeout=timeout)
            assert asyncio.get_running_loop().time() - began < timeout + 0.5
            assert (report.spooled, report.dropped) == (100, 0)
            assert (await receipts[0]).status == "spooled"

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 100


def test_on_failure_abandoned_is_written_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=60)) as client:
            producer = client.producer(spool=memory_first(tmp_path))
            for number in range(100):
                await producer.track("u", numbered(number))
            producer.abandon()
            assert producer.stats().spooled == 100

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 100


def test_on_failure_sends_a_backlog_before_what_is_new(tmp_path: Path) -> None:
    async def scenario() -> None:
        await leave_behind(tmp_path, 300, users=1)
        far_end = FarEnd()
        options: dict[str, Any] = {"spool": memory_first(tmp_path), "max_pending_events": 20}
        async with client_of(far_end) as client, client.producer(**options) as producer:
            await together(producer, range(300, 400), users=1)
            assert (await producer.flush()).delivered == 400
        assert by_user(far_end)['{"external_id": "u0"}'] == list(range(400))

    virtually(scenario())


def test_on_failure_without_room_waits_while_the_api_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=1.0)) as client:
            options: dict[str, Any] = {"spool": memory_first(tmp_path), "max_pending_events": 2}
            async with client.producer(on_full="raise", **options) as producer:
                await producer.flush()
                producer.track_nowait("u", "e")
                producer.track_nowait("u", "e")
                with pytest.raises(QueueFull):
                    await producer.track("u", "e")
                with pytest.raises(QueueFull):
                    producer.track_nowait("u", "e")

    virtually(scenario())
