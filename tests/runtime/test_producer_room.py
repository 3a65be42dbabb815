"""How much a producer takes, and what happens when it has no room. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import spool_kit
from far_end import FarEnd, balanced, client_of, numbered, virtually

from dfinery_async import (
    ClientClosed,
    ConnectionConfig,
    DeliveryError,
    Event,
    InvalidInputError,
    QueueFull,
    Stats,
)


def test_a_full_queue_makes_callers_wait_in_order() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_pending_events=10) as producer:
            most = 0

            async def hand_over(number: int) -> None:
                nonlocal most
                await producer.track("u", numbered(number))
                most = max(most, producer.stats().pending)

            async with asyncio.TaskGroup() as group:
                for number in range(500):
                    group.create_task(hand_over(number))
            await producer.flush()
            assert most == 10
        assert [number for _, number in far_end.applied()] == [*range(500)]

    virtually(scenario())


def test_a_full_queue_cuts_the_linger_short() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        producer_options: dict[str, Any] = {"max_pending_events": 4, "linger": 3600.0}
        async with client_of(far_end) as client, client.producer(**producer_options) as producer:
            for number in range(40):
                await producer.track(f"u{number}", "e")
            assert far_end.calls[-1].at < 10

    virtually(scenario())


def test_bytes_bound_the_queue_but_one_unit_always_fits() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(max_pending_bytes=1000)
            large = Event("e", properties={"text": "x" * 5000})
            await producer.track("u", large)
            with pytest.raises(QueueFull, match="max_pending_bytes"):
                producer.track_nowait("u", "small")
            await producer.flush()
            producer.track_nowait("u", "small")
            assert (await producer.aclose()).delivered == 2

    virtually(scenario())


def test_on_full_raise_and_nowait() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(max_pending_events=2, on_full="raise") as producer:
            producer.track_nowait("u", "a")
            await producer.track("u", "b")
            with pytest.raises(QueueFull):
                await producer.track("u", "c")
            with pytest.raises(QueueFull):
                producer.track_nowait("u", "c")
            report = await producer.flush()
            assert report.accepted == report.delivered == 2

    virtually(scenario())


def test_on_full_drop_newest_counts_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(max_pending_events=2, on_full="drop_newest")
            receipts = [await producer.track("u", "e") for _ in range(5)]
            receipts.append(producer.track_nowait("u", "e"))
            for receipt in receipts[2:]:
                with pytest.raises(DeliveryError) as caught:
                    await receipt
                assert isinstance(caught.value.__cause__, QueueFull)
            report = await producer.aclose()
            assert (report.accepted, report.delivered, report.dropped) == (6, 2, 4)
            assert balanced(report)

    virtually(scenario())
    assert len([record for record in caplog.records if "queue is full" in record.message]) == 1


def test_whoever_waits_for_room_hears_of_the_close() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:
            producer = client.producer(max_pending_events=1)
            await producer.track("u", "e")
            waiting = asyncio.create_task(producer.track("u", "e"))
            await asyncio.sleep(1)
            await producer.aclose(timeout=0)
            with pytest.raises(ClientClosed):
                await waiting

    virtually(scenario())


def test_a_cancelled_wait_for_room_accepts_nothing() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_pending_events=1) as producer:
            await producer.track("u", numbered(1))
            waiting = asyncio.create_task(producer.track("u", numbered(2)))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await producer.track("u", numbered(3))
            report = await producer.flush()
        assert report.accepted == 2
        assert [number for _, number in far_end.applied()] == [1, 3]

    virtually(scenario())


def test_requests_in_flight_are_bounded() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_in_flight=7) as producer:
            for number in range(500):
                await producer.track(f"u{number}", "e")
        assert far_end.most_in_air == 7
        far_end = FarEnd()
        few = ConnectionConfig(max_connections=3)
        async with client_of(far_end, connections=few) as client, client.producer(max_in_flight=50) as producer:
            await producer.track("warm", "e")
            await producer.flush()
            for number in range(100):
                await producer.track(f"u{number}", "e")
            await asyncio.sleep(0.01)
            assert producer.stats().in_flight == 3  # what has no connection stays in its lane, and packs
        assert far_end.most_in_air == 3

    virtually(scenario())


def test_load_pulls_a_source_no_faster_than_it_is_sent() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        pulled = 0
        ahead = 0
        seen: list[Stats] = []

        def source() -> Any:
            nonlocal pulled, ahead
            for number in range(5000):
                pulled += 1
                ahead = max(ahead, pulled - sum(len(call.events) for call in far_end.calls))
                yield f"u{number % 50}", numbered(number)

        async def asource() -> Any:
            for pair in source():
                yield pair

        async with client_of(far_end) as client:
            report = await client.load(source(), progress=seen.append, max_pending_events=200)
            assert report.delivered == 5000
            assert ahead <= 202
            assert (seen[0].delivered, seen[-1].delivered) == (0, 5000)
            report = await client.load(asource(), max_pending_events=200)
            assert report.delivered == 5000

    virtually(scenario())


def test_track_many_waits_for_room_and_counts() -> None:
    async def scenario() -> None:
        seen: list[Stats] = []
        async with client_of(FarEnd()) as client, client.producer(max_pending_events=10) as producer:
            pairs = ((f"u{number}", numbered(number)) for number in range(500))
            assert await producer.track_many(pairs, progress=seen.append) == 500
            assert producer.stats().accepted == 500
            assert (seen[0].accepted, seen[-1].accepted) == (0, 500)
            assert len(seen) > 3
            assert await producer.track_many([]) == 0

    virtually(scenario())


def test_a_cancelled_load_stops_pulling_and_closes() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:

            def endless() -> Any:
                while True:
                    yield "u", "e"

            task = asyncio.create_task(client.load(endless(), max_pending_events=10))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.get_running_loop().time() < 2

    virtually(scenario())


class Table:
    """A frame of some library, which may give its columns when it is iterated."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        raise NotImplementedError

    def __iter__(self) -> Any:
        return iter(["id"])


class OldSequence:
    def __getitem__(self, place: int) -> tuple[str, str]:
        if place == 3:
            raise IndexError
        return "u", "e"


@pytest.mark.parametrize("wrong", [None, 5, client_of, object, "events.jsonl", b"ue", {"u1": "e"}])
def test_what_gives_no_pairs_is_named_before_anything_is_opened(wrong: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        kind = type(wrong).__name__
        problem = rf"^source: must give pairs of identity and event, such as a list.* takes a table, too; not {kind}$"
        async with client_of(FarEnd()) as client:
            with pytest.raises(InvalidInputError, match=problem) as caught:
                await client.load(wrong, spool=tmp_path / "spool")
            assert caught.value.field == "source"
            assert not (tmp_path / "spool").exists()
            for spool in (None, tmp_path):
                async with client.producer(spool=spool) as producer:
                    with pytest.raises(InvalidInputError, match=problem):
                        await producer.track_many(wrong)
                    assert producer.stats().accepted == 0

    spool_kit.virtually(scenario())


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (None, "NoneType"),
        ("ue", "str"),
        (b"ue", "bytes"),
        ({"identity": "u", "event": "e"}, "dict"),
        ({"u", "e"}, "set"),
        (("u",), "tuple"),
        (("u", "e", "f"), "tuple"),
        (Event("e"), "Event"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_no_pair_is_named_with_its_place(wrong: Any, kind: str, *, is_async: bool) -> None:
    async def slowly(pairs: list[Any]) -> AsyncIterator[Any]:
        for pair in pairs:
            yield pair

    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer() as producer:
            pairs = [("u", "e"), ["u", "e"], wrong, ("u", "e")]
            with pytest.raises(InvalidInputError) as caught:
                await producer.track_many(slowly(pairs) if is_async else pairs)
            assert str(caught.value) == f"source[2]: must be a pair of identity and event, not {kind}"
            assert producer.stats().accepted == 2

    virtually(scenario())


def test_a_producer_says_where_tables_go() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer() as producer:
            with pytest.raises(InvalidInputError, match=r"^source: a table goes into `client\.load`"):
                await producer.track_many(Table())

    virtually(scenario())


def test_what_is_iterable_by_its_places_alone_is_a_source() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            sequence: Any = OldSequence()
            assert (await client.load(sequence)).delivered == 3

    virtually(scenario())
