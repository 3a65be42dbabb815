"""The whole client against the emulator over loopback, with everything in its way that the emulator knows."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from cancel_kit import WAYS, At
from export_bench import until
from far_end import balanced, client_at, go_by_httpx, numbered

from dfinery_async import (
    ConnectionConfig,
    DeliveryError,
    DfineryClient,
    Event,
    Producer,
    Rejection,
    RetryConfig,
    Stats,
    TimeoutConfig,
    ValidationFailure,
)
from dfinery_async.emulator import Emulator, Fault

SCALE = int(os.environ.get("DFINERY_TEST_SCALE", "1"))  # how many times more of everything
QUICK_RETRIES = RetryConfig(total=20.0, base=0.01, cap=0.1)
SHORT = TimeoutConfig(connect=2.0, read=0.3, write=2.0, total=1.0)


def client_of(emulator: Emulator, **settings: Any) -> DfineryClient:
    return client_at(emulator, **{"retry": QUICK_RETRIES, **settings})


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(limit_headers="none", quota=dict.fromkeys(("events", "exports", "profiles"))) as emulator:
        yield emulator


@pytest.fixture
def emulator(server: Emulator) -> Emulator:
    server.reset()
    return server


MIXED = [  # about 15 % of all requests
    Fault("reset", rate=0.03),
    Fault("lost_answer", rate=0.03),
    Fault("status", rate=0.02),
    Fault("status", status=503, body="html", processed=True, rate=0.01),
    Fault("code", code=50000, rate=0.01),
    Fault("html", rate=0.02),
    Fault("raw", payload=b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{", processed=True, rate=0.01),
    Fault("latency", seconds=0.02, rate=0.03),
    Fault("throttle", rate=0.005, times=4),
    Fault("code", code=40401, rate=0.005, times=4),
    Fault("hang", rate=0.004, times=10),
]


def arrivals(emulator: Emulator) -> dict[str, list[int]]:
    """Number of each event by user, as they arrived for the first time."""
    firsts: dict[str, dict[int, None]] = defaultdict(dict)
    for event in emulator.events:
        firsts[event["identity"]["external_id"]][event["event_properties"]["n"]] = None
    return {user: list(numbers) for user, numbers in firsts.items()}


@pytest.mark.asyncio
async def test_a_mixture_of_faults_loses_mixes_and_reorders_nothing(emulator: Emulator) -> None:
    for fault in MIXED:
        emulator.inject(fault)
    total, users = 20_000 * SCALE, 500
    async with client_of(emulator, timeouts=SHORT, connections=ConnectionConfig(max_connections=16)) as client:
        async with client.producer(max_batch_bytes=3000, max_pending_events=2000) as producer:
            receipts = [await producer.track(f"u{number % users}", numbered(number)) for number in range(total)]
            report = await producer.flush()
        statuses = {(await receipt).status for receipt in receipts}
    assert statuses == {"delivered"}
    assert report.accepted == report.delivered == total
    assert report.retries > 50 * SCALE
    assert arrivals(emulator) == {f"u{user}": list(range(user, total, users)) for user in range(users)}
    assert len({event["event_log_id"] for event in emulator.events}) == total
    hit = {record.fault for record in emulator.requests}
    assert hit >= {fault.kind for fault in MIXED}


@pytest.mark.asyncio
async def test_one_bad_event_in_a_hundred_takes_no_other_with_it(emulator: Emulator) -> None:
    emulator.inject(Fault("poison", match="bad"))
    chance = random.Random(1)
    total = 5000 * SCALE
    bad = set(chance.sample(range(total), total // 100))
    rejections: list[Rejection] = []
    async with client_of(emulator) as client:
        async with client.producer(on_rejected=rejections.append) as producer:
            events = [Event("bad" if number in bad else "e", properties={"n": number}) for number in range(total)]
            receipts = [await producer.track(f"u{number % 50}", event) for number, event in enumerate(events)]
            report = await producer.flush()
        for number, receipt in enumerate(receipts):
            if number in bad:
                with pytest.raises(DeliveryError) as caught:
                    await receipt
                assert isinstance(caught.value.__cause__, ValidationFailure)
            else:
                assert (await receipt).status == "delivered"
    refused = [rejection.event.log_id for rejection in rejections if rejection.event]
    assert sorted(refused) == sorted(events[number].log_id for number in bad)
    assert (report.delivered, report.rejected) == (total - len(bad), len(bad))
    assert arrivals(emulator) == {
        f"u{user}": [number for number in range(user, total, 50) if number not in bad] for user in range(50)
    }


@pytest.mark.asyncio
async def test_a_slow_server_slows_its_source_and_nothing_piles_up(emulator: Emulator) -> None:
    emulator.inject(Fault("latency", seconds=0.005))
    total = 10_000 * SCALE
    pulled = 0
    seen: list[Stats] = []

    def source() -> Iterator[tuple[str, Event]]:
        nonlocal pulled
        [producer] = client._producers
        for number in range(total):
            pulled += 1
            if number % 50 == 0:
                look(producer)
            yield f"u{number % 300}", numbered(number)

    def look(producer: Producer) -> None:
        stats = producer.stats()
        seen.append(stats)
        assert balanced(stats)
        assert stats.pending <= 1000
        assert pulled - stats.delivered <= 1001
        assert stats.users <= 300
        assert len(client._tasks) <= 16 + 5

    async with client_of(emulator, connections=ConnectionConfig(max_connections=16)) as client:
        report = await client.load(source(), max_pending_events=1000)
    assert report.delivered == total
    assert max(stats.pending for stats in seen) > 900
    assert sum(map(len, arrivals(emulator).values())) == total


# Cancelling, with real connections in the way.


async def track(client: DfineryClient) -> None:
    async with client.producer() as producer:
        receipt = await producer.track("u", "e")
        await producer.set_profile("u", {"a": 1})
        await receipt
        await producer.flush()


async def export_rows(client: DfineryClient) -> None:
    async with client.export_profiles() as export:
        async for _ in export:
            pass


async def load(client: DfineryClient) -> None:
    async def source() -> AsyncIterator[tuple[str, str]]:
        for number in range(6):
            yield f"u{number}", "e"

    await client.load(source(), max_pending_events=2)


Call = Callable[[DfineryClient, Path], Coroutine[Any, Any, Any]]

CALLS: dict[str, Call] = {
    "send_events": lambda client, _: client.send_events("u", ["e"] * 150),
    "update_profile": lambda client, _: client.update_profile("u", {"a": 1}),
    "producer": lambda client, _: track(client),
    "load": lambda client, _: load(client),
    "export rows": lambda client, _: export_rows(client),
    "export save": lambda client, folder: client.export_profiles().save(folder / "a.csv"),
}


async def settled(client: DfineryClient) -> None:
    """Wait until what a cancelled caller left under way has ended; if something never does, the time-out tells."""
    await until(lambda: client._transport.taken == 0 and client._transport.waiting == 0)


@pytest.fixture(params=["wire", "httpx"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "httpx":
        go_by_httpx(monkeypatch)


def pools_of_httpx(client: DfineryClient) -> list[Any]:
    return [shard.pool for shard in client._transport._httpx()._shards]


@pytest.mark.asyncio
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("pool")
async def test_a_real_pool_survives_a_cancellation_anywhere(
    name: str, way: str, warm: bool, emulator: Emulator, tmp_path: Path
) -> None:
    await emulator_with_a_profile(emulator)
    client, points = two_connections(emulator), 0
    for point in count(1):
        if not warm:
            await client.aclose()
            client = two_connections(emulator)
        pools = pools_of_httpx(client)
        watched = await WAYS[way](CALLS[name](client, tmp_path), point)
        await settled(client)
        if warm or point % 5 == 0:
            await asyncio.gather(*(client.send_events(f"v{number}", "e") for number in range(4)))
        assert pools_of_httpx(client) == pools  # none had to be replaced
        if watched.fired_at is None:
            break
        points += 1
    await client.aclose()
    assert points >= 1


def two_connections(emulator: Emulator) -> DfineryClient:
    return client_of(emulator, connections=ConnectionConfig(max_connections=2))


async def emulator_with_a_profile(emulator: Emulator) -> None:
    async with client_of(emulator) as client:
        await client.upsert_identity("u")


@pytest.mark.parametrize("name", CALLS)
def test_a_loop_may_end_with_a_call_on_the_wire(name: str, emulator: Emulator, tmp_path: Path) -> None:
    async def user() -> None:
        async with two_connections(emulator) as client:
            await CALLS[name](client, tmp_path)

    async def main(point: int) -> bool:
        reached = asyncio.Event()
        task = asyncio.create_task(At(user(), point, reached.set, woken=False))
        task.add_done_callback(lambda _: reached.set())
        await reached.wait()
        return not task.done()

    for point in count(1):
        if not asyncio.run(main(point)):
            break
    assert point > 1
    gc.collect()  # a connection that was left open would warn


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_a_plain_httpx_client_does_not_survive_them(emulator: Emulator) -> None:
    """The control: httpcore 1.0 loses connections of its pool for good (encode/httpcore#1093).

    The day on which this fails, httpcore has been mended.
    """
    lost = []
    for point in count(1):
        async with httpx.AsyncClient(
            base_url=emulator.base_url,
            limits=httpx.Limits(max_connections=1),
            timeout=httpx.Timeout(5.0, pool=0.1),
            trust_env=False,
        ) as client:
            watched = await WAYS["task"](client.post("/api/v1/events", json={}), point)
            try:
                await client.post("/api/v1/events", json={})
            except httpx.PoolTimeout:
                lost.append(point)
        if watched.fired_at is None:
            break
    assert lost
    gc.collect()  # what it has lost stays open until here, and may say so here
