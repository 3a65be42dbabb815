"""`delivery_timeout` with a spool: receipts are told on time, nothing is given up, and nothing overtakes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, balanced, client_of, failed, ok
from spool_kit import delivered_order, down, leave_behind, numbered, rows_on_disk, rows_on_disk_now, together, virtually

from dfinery_async import DeliveryError, SpoolConfig


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_receipt_says_in_time_that_its_unit_is_safe(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path, delivery_timeout=5.0)
            receipt = await producer.track("u", numbered(1))
            assert (await receipt).status == "spooled"
            assert 5.0 <= now() < 5.5
            assert not receipt.done()
            assert producer.stats().pending == 1
            assert (await receipt).status == "spooled"  # at once, as long as nothing came of it
            assert now() < 5.5
            report = await producer.aclose(timeout=0)
            assert (report.spooled, report.dropped) == (1, 0)
            assert (await receipt).status == "spooled"

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 1


def test_what_is_late_keeps_its_place_before_what_comes_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        away = True
        far_end = FarEnd(lambda call: httpx.ConnectError("refused") if away else None)
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path, delivery_timeout=5.0)
            early = await producer.track("u", numbered(1))
            assert (await early).status == "spooled"
            late = await producer.track("u", numbered(2))
            away = False
            assert (await producer.flush()).delivered == 2
            assert [(await receipt).status for receipt in (early, late)] == ["delivered"] * 2
            assert list(delivered_order(far_end).values()) == [[1, 2]]
            await producer.aclose()

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_a_receipt_of_what_is_on_disk_alone_is_told_in_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path, delivery_timeout=5.0, max_pending_events=2)
            receipts = await together(producer, range(10), users=1)
            assert [delivery.status for delivery in await asyncio.gather(*receipts)] == ["spooled"] * 10
            assert 5.0 <= now() < 5.5
            assert (await producer.aclose(timeout=0)).spooled == 10

    virtually(scenario())


def test_a_backlog_that_is_older_than_the_time_is_sent_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        await leave_behind(tmp_path, 50)
        async with client_of(FarEnd(latency=2.0)) as client:
            producer = client.producer(spool=tmp_path, delivery_timeout=0.5, max_in_flight=1)
            assert (await producer.flush()).delivered == 50
            await producer.aclose()

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_an_outcome_within_the_time_is_the_outcome(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40001) if 2 in call.numbers else None)
        async with client_of(far_end) as client, client.producer(spool=tmp_path, delivery_timeout=5.0) as producer:
            good, bad = await together(producer, (1, 2), users=2)
            assert (await good).status == "delivered"
            with pytest.raises(DeliveryError):
                await bad

    virtually(scenario())


@pytest.mark.parametrize("options", [{}, {"max_pending_events": 1}])
def test_on_failure_writes_first_what_is_in_memory_alone(tmp_path: Path, options: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=30.0)) as client:  # slow, and there
            config = SpoolConfig(path=tmp_path, mode="on_failure")
            producer = client.producer(spool=config, delivery_timeout=5.0, **options)
            await producer.flush()
            receipt = await producer.track("u", numbered(1))
            waiting = asyncio.create_task(producer.track("u", numbered(2)))
            assert (await receipt).status == "spooled"
            assert 5.0 <= now() < 5.5
            assert rows_on_disk_now(producer) == 2
            await waiting
            assert (await producer.aclose(timeout=None)).delivered == 2

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


@pytest.mark.parametrize("mode", ["always", "on_failure"])
@pytest.mark.parametrize("seed", range(20))
def test_no_user_is_overtaken_whatever_the_time_and_the_api(tmp_path: Path, seed: int, mode: Any) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)

        def answer(call: Call) -> Any:
            if chance.random() < 0.3 or 20 < now() % 60 < 40:
                return httpx.ConnectError("refused")
            return failed(50000) if chance.random() < 0.2 else ok()

        far_end = FarEnd(answer, latency=chance.choice((0.05, 3.0)))
        async with client_of(far_end) as client:
            producer = client.producer(
                spool=SpoolConfig(path=tmp_path, mode=mode),
                delivery_timeout=chance.choice((0.5, 5.0)),
                max_pending_events=chance.choice((5, 1000)),
            )
            receipts = []
            for number in range(100):
                receipts.append(await producer.track(f"u{chance.randrange(3)}", numbered(number)))
                await asyncio.sleep(chance.choice((0.0, 0.1, 3.0)))
                assert balanced(producer.stats())
            statuses = {(await receipt).status for receipt in receipts}
            assert statuses <= {"delivered", "spooled"}
            assert (await producer.flush()).delivered == 100
            await producer.aclose()
        for numbers in delivered_order(far_end).values():
            assert numbers == sorted(numbers)

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0
