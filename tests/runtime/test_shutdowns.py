"""Closing a producer at any moment, whatever the API does: in time, with exact books, and nobody left waiting."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import httpx
import pytest
from cancel_kit import BenchLoop, on_bench
from far_end import Answer, Call, FarEnd, balanced, client_of, failed, numbered

from dfinery_async import ConnectionConfig, DfineryClient, DfineryError, Producer, Receipt, RetryConfig, TimeoutConfig
from dfinery_async.emulator import Emulator, Fault

SHUTDOWNS = int(os.environ.get("DFINERY_TEST_SHUTDOWNS", "1000"))
GRACE = 0.5  # beyond its time-out, within which a close returns


class MoodyFarEnd(FarEnd):
    """Fails in every way, takes its time, and sometimes never answers."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(self.fate, latency=chance.choice([0.0, 0.01, 0.2, 2.0]))
        self.chance = chance
        self.trouble = chance.choice([0.0, 0.2, 1.0])
        self.arrived: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.chance.random() < self.trouble / 10:
            await asyncio.Event().wait()
        return await super().handle_async_request(request)

    def fate(self, call: Call) -> Answer:
        answer = self.mood(call) if self.chance.random() < self.trouble else None
        if answer is None or (isinstance(answer, Exception) and self.chance.random() < 0.5):
            self.arrived += call.numbers
        return answer

    def mood(self, call: Call) -> Answer:
        used_up = {"x-ratelimit-limit": "1m", "x-ratelimit-remaining": "0"}
        answers: list[Answer] = [
            failed(50000),
            failed(40001),
            failed(40402),
            failed(40401, 429),
            failed(40401, 200, "", **used_up),
            failed(40201),
            failed(40101),
            httpx.Response(200, text="<html>log in</html>"),
            httpx.Response(302, headers={"location": "https://elsewhere.example"}),
            httpx.Response(503, headers={"retry-after": "30"}),
            httpx.ConnectError("refused"),
            httpx.ReadTimeout("slow"),
            httpx.RemoteProtocolError("gone"),
        ]
        return self.chance.choice(answers)


@pytest.mark.parametrize("part", range(4))
def test_a_producer_closes_in_time_at_any_moment(part: int) -> None:
    async def scenario() -> None:
        for seed in range(part, SHUTDOWNS, 4):
            try:
                await shut_down(random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise

    on_bench(scenario())


async def shut_down(chance: random.Random) -> None:
    loop = asyncio.get_running_loop()
    far_end = MoodyFarEnd(chance)
    receipts: dict[int, Receipt] = {}
    told: list[object] = []

    async def tell(rejection: object) -> None:
        told.append(rejection)
        await asyncio.sleep(chance.choice([0.0, 0.01, 100.0]) if chance.random() < 0.1 else 0.0)

    client = client_of(far_end, connections=ConnectionConfig(max_connections=chance.choice([1, 4])))
    producer = client.producer(
        linger=chance.choice([0.0, 0.05, 10.0]),
        max_pending_events=chance.choice([3, 50, 1000]),
        delivery_timeout=chance.choice([None, None, 1.0]),
        on_rejected=tell,
    )

    async def use(user: int) -> None:
        for number in range(user * 100, user * 100 + chance.randrange(1, 40)):
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() / 10)
            receipts[number] = await producer.track(f"u{user}", numbered(number))
            if chance.random() < 0.05:
                await producer.set_profile(f"u{user}", {"a": number})
            if chance.random() < 0.05:
                await receipts[number]

    async def flush() -> None:
        await producer.flush(chance.choice([None, 0.1]))

    others = [asyncio.create_task(use(user)) for user in range(chance.randrange(1, 6))]
    others.append(asyncio.create_task(flush()))
    await asyncio.sleep(chance.choice([0.0, chance.random() / 100, chance.random() * 3]))
    timeout = chance.choice([0.0, 0.01, chance.random(), 5.0])
    began = loop.time()
    reports = await asyncio.gather(*(producer.aclose(timeout) for _ in range(chance.choice([1, 1, 2]))))
    assert loop.time() - began <= timeout + GRACE
    [report] = {tuple(report.to_dict().items()) for report in reports}
    outcomes = await asyncio.gather(*others, return_exceptions=True)
    assert loop.time() - began <= timeout + GRACE
    assert all(outcome is None or isinstance(outcome, DfineryError) for outcome in outcomes), outcomes
    await settle(producer, dict(report), receipts, set(far_end.arrived))
    await client.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert isinstance(loop, BenchLoop)
    assert loop.timers() == []


async def settle(producer: Producer, report: dict[str, Any], receipts: dict[int, Receipt], arrived: set[int]) -> None:
    """See that the books are exact, that every receipt has its outcome, and that what is delivered arrived."""
    stats = producer.stats()
    assert balanced(stats)
    assert stats.pending == report["pending"] == 0
    assert all(report[name] == getattr(stats, name) for name in ("accepted", "delivered", "rejected", "dropped"))
    assert report["accepted"] >= len(receipts)
    delivered = set()
    for number, receipt in receipts.items():
        assert receipt.done()
        try:
            await receipt
            delivered.add(number)
        except DfineryError:
            pass
    assert delivered <= arrived


@pytest.mark.asyncio
async def test_a_producer_closes_in_time_over_loopback() -> None:
    chance = random.Random(7)
    loop = asyncio.get_running_loop()
    with Emulator(limit_headers="none") as emulator:
        for kind, rate in {"reset": 0.1, "lost_answer": 0.1, "status": 0.1, "html": 0.1, "hang": 0.1}.items():
            emulator.inject(Fault(kind, rate=rate))  # type: ignore[arg-type]
        for turn in range(25 * SHUTDOWNS // 1000):
            client = DfineryClient(
                emulator.service_id,
                import_token=emulator.import_token,
                base_url=emulator.base_url,
                connections=ConnectionConfig(max_connections=4),
                retry=RetryConfig(base=0.01, cap=0.1),
                timeouts=TimeoutConfig(read=0.2),
            )
            producer = client.producer()
            receipts = {}
            for number in range(turn * 1000, turn * 1000 + chance.randrange(200)):
                receipts[number] = await producer.track(f"u{number % 7}", numbered(number))
            timeout = chance.choice([0.0, 0.02, 0.1])
            began = loop.time()
            report = await producer.aclose(timeout)
            # Real time on a busy machine proves no bound; the virtual shutdowns above do. This one must end, at all.
            assert loop.time() - began <= timeout + 20 * GRACE
            arrived = {event["event_properties"]["n"] for event in emulator.events}
            await settle(producer, report.to_dict(), receipts, arrived)
            await client.aclose()
