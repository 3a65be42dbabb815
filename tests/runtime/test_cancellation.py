"""Cancellation at every point at which a public coroutine can be suspended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cancel_kit import CSV, IN_TIME, WAYS, At, BenchLoop, World, on_bench
from far_end import balanced, failed, numbered

from dfinery_async import ClientClosed, Delivery, DeliveryError, Event, Receipt, Rejection, Stats
from dfinery_async.runtime.export_stream import ExportStream
from dfinery_async.runtime.room import Room
from dfinery_async.runtime.tasks import TaskOwner

STATES = ("cold", "warm", "limited", "full")
DAY = "2025-03-01"
SIZES = {"csv": sum(map(len, CSV)), "jsonl": 57 * (len(CSV) - 1)}  # of a whole file


def pairs() -> Iterator[tuple[str, Event]]:
    for number in range(12):
        yield f"u{number % 3}", numbered(number)


async def async_pairs() -> AsyncIterator[tuple[str, Event]]:
    for pair in pairs():
        await asyncio.sleep(0.001)
        yield pair


async def close_client(world: World, _: Path) -> None:
    await world.client.aclose()


async def track(world: World, _: Path) -> None:
    for number in range(6 if world.state == "full" else 70):  # every 64th lets others have a turn
        await world.track(f"u{number % 3}")


async def flush(world: World, _: Path) -> None:
    await world.track("u")
    await world.producer.flush(10.0)


async def close_producer(world: World, _: Path) -> None:
    await world.track("u")
    await world.producer.aclose()


async def leave_block(world: World, _: Path) -> None:
    async with world.producer:
        await world.track("u")
        await world.track("v")


async def tell_rejections(world: World, _: Path) -> None:
    async def is_cancelled(_: Rejection) -> None:
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, other.cancel)
        await other

    world.far_end.answer = lambda call: failed(40001) if "refused" in call.user else None
    async with world.client.producer(on_rejected=is_cancelled) as producer:
        for number in range(3):
            await producer.track("refused", numbered(number))


async def await_receipt(world: World, _: Path) -> None:
    await (await world.track("u"))


async def export_rows(world: World, _: Path) -> None:
    async with world.client.export_events(DAY, DAY) as export:
        assert len([row async for row in export]) == len(CSV) - 1


async def export_rows_without_block(world: World, _: Path) -> None:
    rows = world.client.export_profiles().__aiter__()
    try:
        async for _row in rows:
            pass
    finally:
        await rows.aclose()  # type: ignore[attr-defined]  # what the loop does at its end with one that is left


async def export_enter(world: World, _: Path) -> None:
    export = await world.client.export_events(DAY, DAY).__aenter__()
    await export.aclose()


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def save(ending: str) -> Callable[[World, Path], Coroutine[Any, Any, None]]:
    async def save_export(world: World, folder: Path) -> None:
        goal = folder / f"a.{ending}"
        try:
            await world.client.export_events(DAY, DAY).save(goal)
        finally:
            assert sizes(folder) in ({}, {goal.name: SIZES[ending]})
            goal.unlink(missing_ok=True)

    return save_export


Call = Callable[[World, Path], Coroutine[Any, Any, Any]]

CALLS: dict[str, Call] = {
    "send_events": lambda world, _: world.client.send_events("u", map(numbered, range(250))),
    "upsert_identity": lambda world, _: world.client.upsert_identity("u"),
    "delete_identity": lambda world, _: world.client.delete_identity("u"),
    "update_profile": lambda world, _: world.client.update_profile("u", {"a": 1}),
    "load": lambda world, _: world.client.load(pairs(), max_pending_events=4),
    "load, async": lambda world, _: world.client.load(async_pairs(), progress=lambda _: None),
    "client.aclose": close_client,
    "track": track,
    "identify": lambda world, _: world.producer.identify("u"),
    "set_profile": lambda world, _: world.producer.set_profile("u", {"a": 1}),
    "flush": flush,
    "producer.aclose": close_producer,
    "producer block": leave_block,
    "rejections": tell_rejections,
    "receipt": await_receipt,
    "export rows": export_rows,
    "export rows without block": export_rows_without_block,
    "export enter": export_enter,
    "export save csv": save("csv"),
    "export save jsonl": save("jsonl"),
}
CLOSES = {"client.aclose": "client", "producer.aclose": "producer", "producer block": "producer"}


async def cancelled_at(name: str, way: str, state: str, point: int, folder: Path) -> bool:
    """Make a call in a world of its own and cancel it. Returns whether it came to that."""
    world = World(state)
    await world.prepare()
    try:
        return await cancelled_in(world, name, way, point, folder)
    finally:
        await world.producer.aclose(timeout=0)


async def cancelled_in(world: World, name: str, way: str, point: int, folder: Path) -> bool:
    watched = await WAYS[way](CALLS[name](world, folder), point)
    if watched.fired_at is None:
        await world.inspect(CLOSES.get(name, ""))
        return False
    assert asyncio.get_running_loop().time() - watched.fired_at <= IN_TIME, "a cancelled call goes on"
    await world.inspect(CLOSES.get(name, ""))
    return True


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_be_cancelled_anywhere(name: str, way: str, tmp_path: Path) -> None:
    async def scenario() -> int:
        points = 0
        for state in STATES:
            for point in count(1):
                try:
                    if not await cancelled_at(name, way, state, point, tmp_path):
                        break
                except BaseException as error:
                    error.add_note(f"{name} by {way}, {state}, at suspension {point}")
                    raise
                points += 1
        return points

    points = on_bench(scenario())
    gc.collect()
    assert points >= 1


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", CALLS)
def test_a_loop_may_end_with_a_call_pending_anywhere(name: str, state: str, tmp_path: Path) -> None:
    for point in count(1):
        try:
            if not torn_down_at(name, state, point, tmp_path):
                break
        except BaseException as error:
            error.add_note(f"{name}, {state}, at suspension {point}")
            raise
    gc.collect()  # a producer that was not closed would warn
    assert point > 1


def torn_down_at(name: str, state: str, point: int, folder: Path) -> bool:
    """Let the main function return while a call is suspended. Returns whether it came to that."""

    async def user(world: World) -> None:
        try:
            async with world.client, world.producer:
                await CALLS[name](world, folder)
        finally:
            reports.append(world.producer.stats())

    reports: list[Stats] = []

    async def main() -> tuple[World, bool]:
        world = World(state)
        await world.prepare()
        reached = asyncio.Event()
        task = asyncio.create_task(At(user(world), point, reached.set, woken=False))
        task.add_done_callback(lambda _: reached.set())
        await reached.wait()
        return world, not task.done()

    loop = BenchLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        world, pending = runner.run(main())
        ended_at = loop.now
    assert loop.now - ended_at <= IN_TIME
    assert loop.unheard == []
    [report] = reports
    assert report.state == "closed"
    assert balanced(report)
    assert report.pending == 0
    assert all(receipt.done() for receipt in world.receipts.values())
    world.nothing_left()
    return pending


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("closing", [False, True])
def test_cancelling_one_of_several_who_wait_leaves_the_others(way: str, closing: bool) -> None:
    async def scenario() -> None:
        world = World("full")
        await world.prepare()
        [first, *_] = world.receipts.values()

        async def wait() -> Delivery:
            return await first

        other, flush = asyncio.create_task(wait()), asyncio.create_task(world.producer.flush())
        watched = await WAYS[way](world.producer.flush() if closing else wait(), 1)
        assert watched.fired_at is not None
        assert isinstance(await other, Delivery)
        assert (await flush).delivered == 2
        await world.inspect()

    on_bench(scenario())


@pytest.mark.parametrize("state", ["warm", "limited", "full", "failing"])
def test_a_call_under_way_hears_that_the_client_closed(state: str) -> None:
    async def scenario() -> None:
        world = World(state)
        await world.prepare()
        if state == "failing":
            world.far_end.answer = lambda call: failed(50000)
        calls = [asyncio.create_task(world.client.send_events(f"u{number}", "e")) for number in range(4)]
        await asyncio.sleep(0.2 if state == "failing" else 0.01)
        await world.client.aclose()
        closed_at = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert asyncio.get_running_loop().time() - closed_at <= IN_TIME
        assert {type(outcome) for outcome in outcomes} == {ClientClosed}
        await world.inspect("client")

    on_bench(scenario())


def test_whoever_waits_hears_that_the_tasks_of_the_library_were_cancelled() -> None:
    async def scenario() -> None:
        world = World("warm")
        await world.prepare()
        receipts = [await world.track(f"u{number}") for number in range(5)]
        flush = asyncio.create_task(world.producer.flush())
        await asyncio.sleep(0.01)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("dfinery:"):
                task.cancel()
        try:
            async with asyncio.timeout(IN_TIME):
                for receipt in receipts:
                    with pytest.raises(DeliveryError):
                        await receipt
                assert (await flush).dropped == 5
            assert world.producer.closed
        finally:
            await world.producer.aclose(timeout=0)

    on_bench(scenario())


async def run_in_callers_task(_: TaskOwner, work: Coroutine[Any, Any, Any], name: str) -> Any:
    return await work


async def close_nothing(_: object) -> None:
    pass


async def swallow(room: Room, key: bytes, receipt: Receipt) -> None:
    with suppress(asyncio.CancelledError):
        await real_wait(room, key, receipt)


real_wait = Room.wait

DEFECTS: dict[str, tuple[type, str, Callable[..., object], str, str]] = {
    "a request on the wire was cut": (TaskOwner, "run", run_in_callers_task, "send_events", "warm"),
    "a task is left": (TaskOwner, "aclose", close_nothing, "upsert_identity", "cold"),
    "an export keeps its place": (ExportStream, "aclose", close_nothing, "export enter", "cold"),
    "a cancelled call goes on|a receipt is never settled": (Room, "wait", swallow, "track", "full"),
}


@pytest.mark.parametrize("found", DEFECTS)
def test_the_inspection_finds_defects(found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, attribute, defect, name, state = DEFECTS[found]
    monkeypatch.setattr(home, attribute, defect)

    async def scenario() -> None:
        with pytest.raises(AssertionError, match=found):
            for point in range(1, 4):
                await cancelled_at(name, "task", state, point, tmp_path)

    on_bench(scenario())
