"""A producer with a spool: what it promises its callers, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, balanced, client_of, failed, ok
from spool_kit import BINDING, by_user, bytes_in, modes, numbered, rows, rows_on_disk, virtually

from dfinery_async import (
    ClientClosed,
    DeliveryError,
    DfineryClient,
    Event,
    Identity,
    InvalidInputError,
    Producer,
    QueueFull,
    Receipt,
    SpoolConfig,
    SpoolError,
    SpoolFull,
    SpoolLocked,
)
from dfinery_async.runtime.spool.store import Store
from dfinery_async.runtime.spool.writer import Step

MIB = 1024 * 1024


def down(call: Call) -> Exception:
    return httpx.ConnectError("refused")


async def together(producer: Producer, numbers: Iterable[int], *, users: int = 7, **properties: Any) -> list[Receipt]:
    """Hand over many from as many tasks: they are written together, in their order."""
    tracks = (producer.track(f"u{number % users}", numbered(number, **properties)) for number in numbers)
    return await asyncio.gather(*tracks)


async def leave_behind(folder: Path, count: int, *, users: int = 7, **options: Any) -> None:
    """Have a producer accept events while nobody answers, and close."""
    async with client_of(FarEnd(down)) as client:
        producer = client.producer(spool=folder, **options)
        await together(producer, range(count), users=users)
        report = await producer.aclose(timeout=0.1)
        assert (report.accepted, report.spooled, report.pending) == (count, count, 0)


def test_an_event_is_on_disk_when_track_returns(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=5.0)) as client, client.producer(spool=tmp_path / "s") as producer:
            receipt = await producer.track("u", Event("e", properties={"canary": "CANARY-7"}))
            assert b"CANARY-7" in bytes_in(tmp_path)
            assert not receipt.done()
            assert (await receipt).status == "delivered"

    virtually(scenario())


def test_all_is_delivered_once_in_order_and_leaves_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(spool=tmp_path) as producer:
            receipts = await together(producer, range(1000), users=20)
            await producer.identify("u1")
            await producer.set_profile("u1", {"df_gender": "Female"})
            report = await producer.flush()
            assert all(receipt.done() for receipt in receipts)
            assert report.delivered == report.accepted == 1002
        assert all(numbers == sorted(numbers) for numbers in by_user(far_end).values())
        assert sum(map(len, by_user(far_end).values())) == 1000

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_what_was_not_delivered_is_spooled_and_goes_first_the_next_time(tmp_path: Path) -> None:
    async def first() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path)
            who = Identity(external_id="u", email="kim@example.com")
            await producer.identify(who)
            receipts = [await producer.track(who, numbered(number)) for number in range(5)]
            await producer.set_profile(who, {"a": 1})
            await producer.set_profile(who, {"b": 2.0, "c": ["x"]})
            await producer.track(who, numbered(5))
            assert producer.stats().pending == 9
            report = await producer.aclose(timeout=1.0)
            assert (report.accepted, report.spooled, report.dropped, report.pending) == (9, 9, 0, 0)
            assert balanced(report)
            assert [(await receipt).status for receipt in receipts] == ["spooled"] * 5

    async def second() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(spool=tmp_path) as producer:
            assert producer.stats().pending == producer.stats().accepted == 9
            await producer.track(Identity(external_id="u", email="kim@example.com"), numbered(6))
            report = await producer.flush()
            assert (report.accepted, report.delivered) == (10, 10)
        kinds = [(call.path.rsplit("/", 1)[1], call.numbers) for call in far_end.calls]
        assert kinds[0] == ("identities", [])
        assert kinds[1] == ("events", [0, 1, 2, 3, 4])
        assert kinds[2][0] == "user-profile"
        assert far_end.calls[2].body["user_properties"] == {"a": 1, "b": 2.0, "c": ["x"]}
        assert [number for kind, numbers in kinds[3:] for number in numbers] == [5, 6]

    virtually(first())
    assert rows_on_disk(tmp_path) == 9
    virtually(second())
    assert rows_on_disk(tmp_path) == 0


def test_log_ids_and_bytes_stay_over_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        event = Event("e", properties={"n": 1, "name": "서울", "x": 1.0})
        await leave_one(event)
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(spool=tmp_path):
            pass
        assert far_end.calls[0].events[0]["event_log_id"] == event.log_id
        plain = FarEnd()
        async with client_of(plain) as client, client.producer() as producer:
            await producer.track("u", event)
        assert plain.calls[0].raw == far_end.calls[0].raw

    async def leave_one(event: Event) -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path)
            await producer.track("u", event)
            await producer.aclose(timeout=0)

    virtually(scenario())


def test_a_backlog_larger_than_memory_waits_on_disk_and_keeps_its_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        open_now = False
        far_end = FarEnd(lambda call: None if open_now else failed(50000))
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path, max_pending_events=50)
            receipts = await together(producer, range(1000))
            held = receipts[900]
            del receipts
            gc.collect()
            stats = producer.stats()
            assert stats.accepted == stats.pending == 1000
            assert producer._books.pending <= 51
            assert balanced(stats)
            open_now = True
            flushed = await producer.flush()
            assert flushed.delivered == 1000
            assert (await held).status == "delivered"
            assert balanced(await producer.aclose())
        found = delivered_order(far_end)
        assert sum(map(len, found.values())) == 1000
        assert all(numbers == sorted(numbers) for numbers in found.values())

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def delivered_order(far_end: FarEnd) -> dict[str, list[int]]:
    """Numbers by user, the first time that each came."""
    return {user: list(dict.fromkeys(numbers)) for user, numbers in by_user(far_end).items()}


def test_a_flush_covers_what_is_on_disk_alone_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=0.5)
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path, max_pending_events=10, max_in_flight=1)
            await together(producer, range(200), users=1)
            flush = asyncio.create_task(producer.flush())
            await asyncio.sleep(0.01)
            await together(producer, range(200, 400), users=1)
            report = await flush
            assert 200 <= report.delivered < 400
            assert (await producer.flush()).delivered == 400
            await producer.aclose()

    virtually(scenario())


def test_a_cancelled_track_is_written_or_not_and_the_books_balance(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(spool=tmp_path) as producer:
            tasks = [asyncio.create_task(producer.track(f"u{n}", numbered(n))) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            report = await producer.flush()
            returned = sum(not isinstance(result, BaseException) for result in results)
            assert returned <= report.delivered == report.accepted
            assert balanced(report)

    virtually(scenario())


def test_bad_values_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(spool=tmp_path) as producer:
            with pytest.raises(InvalidInputError):
                await producer.track("u", Event("e", properties={"x": float("nan")}))
            with pytest.raises(InvalidInputError):
                await producer.set_profile("u", {})
            assert producer.stats().accepted == 0

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_a_refused_event_leaves_the_disk_when_it_was_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        told: list[Any] = []
        far_end = FarEnd(lambda call: failed(40001) if 3 in call.numbers else None)
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path, on_rejected=told.append)
            receipts = [await producer.track("u", numbered(number)) for number in range(6)]
            report = await producer.flush()
            assert (report.delivered, report.rejected) == (5, 1)
            with pytest.raises(DeliveryError):
                await receipts[3]
            await producer.aclose()
        assert [rejection.event.properties for rejection in told] == [{"n": 3}]

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_a_rejection_that_nobody_was_told_of_comes_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def stuck(rejection: Any) -> None:
            await asyncio.Event().wait()

        async with client_of(FarEnd(lambda call: failed(40001))) as client:
            producer = client.producer(spool=tmp_path, on_rejected=stuck)
            await producer.track("u", numbered(1))
            await producer.flush()
            producer.abandon()

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 1


def test_a_full_spool_keeps_what_it_has_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(down)
        config = SpoolConfig(path=tmp_path, max_bytes=MIB)
        async with client_of(far_end) as client:
            producer = client.producer(spool=config)
            kept = 0
            with pytest.raises(SpoolFull, match="max_bytes"):
                while True:
                    await producer.track("u", numbered(kept, text="x" * 10_000))
                    kept += 1
            assert 50 < kept < 100
            stats = producer.stats()
            assert stats.accepted == stats.pending == kept
            far_end.answer = None
            client.set_tokens(import_token="another")
            assert (await producer.flush()).delivered == kept
            await producer.track("u", numbered(kept))
            assert (await producer.aclose()).delivered == kept + 1

    virtually(scenario())


def test_on_a_full_spool_the_newest_may_be_dropped(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = SpoolConfig(path=tmp_path, max_bytes=MIB)
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=config, on_full="drop_newest")
            receipts = await together(producer, range(120), text="x" * 10_000)
            with pytest.raises(DeliveryError) as caught:
                await receipts[-1]
            assert isinstance(caught.value.__cause__, SpoolFull)
            report = await producer.aclose(timeout=0)
            assert report.accepted == 120
            assert report.dropped + report.spooled == 120
            assert report.dropped > 10

    virtually(scenario())


def test_track_nowait_is_written_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path)
            for number in range(10):
                producer.track_nowait("u", numbered(number))
            assert producer.stats().accepted == 10
            assert (await producer.aclose(timeout=0)).spooled == 10

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 10


def test_a_second_owner_hears_whose_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = SpoolConfig(path=tmp_path, exclusive=True)
        async with client_of(FarEnd()) as client, client.producer(spool=config):
            second = client.producer(spool=config)
            with pytest.raises(SpoolLocked, match=r"in use by process [0-9]+"):
                async with second:
                    pass
            with pytest.raises(ClientClosed):
                await second.track("u", "e")
            third = client.producer(spool=config)
            with pytest.raises(SpoolLocked):
                await third.track("u", "e")
            assert third.stats().accepted == 0
            with pytest.raises(SpoolLocked):
                await client.load([("u", "e")], spool=config)

    virtually(scenario())


def test_producers_side_by_side_have_slots_of_their_own_and_dead_ones_are_taken_over(tmp_path: Path) -> None:
    async def two() -> None:
        async with client_of(FarEnd(down)) as client:
            first, second = client.producer(spool=tmp_path), client.producer(spool=tmp_path)
            for number in range(10):
                await first.track("a", numbered(number))
                await second.track("b", numbered(number))
            await first.aclose(timeout=0)
            await second.aclose(timeout=0)

    async def one() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(spool=tmp_path) as producer:
            assert producer.stats().pending == 20
            await producer.track("a", numbered(10))
            assert (await producer.flush()).delivered == 21
            await asyncio.sleep(5)
            async with client.producer(spool=SpoolConfig(path=tmp_path / "slot-001" / "x")):
                pass  # nothing of the slot that was taken over is left locked or broken
        assert {user: sorted(numbers) == numbers for user, numbers in by_user(far_end).items()}
        assert by_user(far_end)['{"external_id": "a"}'] == list(range(11))

    virtually(two())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slot-000", "slot-001"]
    virtually(one())
    assert rows_on_disk(tmp_path) == 0


def test_what_dead_owners_had_only_noted_as_done_is_deleted_by_the_next_start(tmp_path: Path) -> None:
    for name in ("slot-000", "slot-001"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        store = Store(folder, BINDING)
        store.open()
        store.commit(Step(rows=rows([1, 2, 3], store.seed, "CANARY-7")))
        store.commit(Step(done=[[1, 2, 3]]))
        store.close()
    assert b"CANARY-7" in bytes_in(tmp_path / "slot-001")

    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(spool=tmp_path) as producer:
            assert producer.stats().accepted == 0

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0
    assert b"CANARY-7" not in bytes_in(tmp_path)


def test_another_service_does_not_get_what_is_not_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        await leave_behind(tmp_path, 3)
        async with DfineryClient("another", import_token="t", transport=FarEnd()) as client:
            with pytest.raises(SpoolError, match="another service id or address"):
                async with client.producer(spool=tmp_path):
                    pass

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 3


def test_a_damaged_file_stops_one_start_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    virtually(leave_behind(tmp_path, 200))
    path = tmp_path / "slot-000" / "spool.db"
    with path.open("r+b") as file:
        file.seek(4096 * 9)
        file.write(b"\xff" * 4096)

    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            with pytest.raises(SpoolError, match=r"corrupt-1.*opening the spool again"), caplog.at_level(logging.ERROR):
                async with client.producer(spool=tmp_path):
                    pass
            async with client.producer(spool=tmp_path) as producer:
                report = await producer.flush()
                assert report.delivered == report.accepted > 50
        assert all(numbers == sorted(numbers) for numbers in by_user(far_end).values())

    virtually(scenario())
    assert "spool.db.corrupt-1" in modes(tmp_path / "slot-000")
    assert modes(tmp_path / "slot-000")["spool.db.corrupt-1"] == "0o600"


def test_load_pulls_a_source_no_faster_than_it_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        pulled = 0
        furthest = 0
        far_end = FarEnd()

        def answer(call: Call) -> None:
            nonlocal furthest
            furthest = max(furthest, pulled - len(list(far_end.applied())))

        def source() -> Any:
            nonlocal pulled
            for number in range(3000):
                pulled += 1
                yield f"u{number % 11}", numbered(number)

        far_end.answer = answer
        async with client_of(far_end) as client:
            report = await client.load(source(), spool=tmp_path, max_pending_events=200)
        assert report.delivered == report.accepted == 3000
        assert furthest <= 200 + 64
        assert all(numbers == sorted(numbers) for numbers in by_user(far_end).values())

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 0


def test_a_cancelled_block_keeps_what_was_accepted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            entered = asyncio.Event()

            async def work() -> None:
                async with client.producer(spool=tmp_path) as producer:
                    for number in range(10):
                        await producer.track("u", numbered(number))
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 10


def test_a_deadline_of_delivery_leaves_it_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path, delivery_timeout=5.0)
            receipt = await producer.track("u", numbered(1))
            assert (await receipt).status == "spooled"
            report = await producer.aclose(timeout=0)
            assert (report.spooled, report.dropped) == (1, 0)

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 1


def test_a_refused_token_does_not_keep_events_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40201, 401) if call.headers["access_token"] != "good" else ok())
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path)
            await producer.track("u", numbered(0))
            await asyncio.sleep(120)
            await producer.track("u", numbered(1))
            client.set_tokens(import_token="good")
            assert (await producer.flush()).delivered == 2
            await producer.aclose()

    virtually(scenario())


def test_what_was_read_back_does_not_linger(tmp_path: Path) -> None:
    async def scenario() -> None:
        await leave_behind(tmp_path, 300)
        options: dict[str, Any] = {"spool": tmp_path, "linger": 86400.0, "max_pending_events": 50}
        async with client_of(FarEnd()) as client, client.producer(**options) as producer:
            assert (await producer.flush(timeout=60)).delivered == 300

    virtually(scenario())


# --- on_failure


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


def rows_on_disk_now(producer: Any) -> int:
    """Count with the producer's own connection: nobody else may open the file."""
    store = producer._spool._stores._own
    count: int = store.waiting(0)[0]
    return count


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


def test_nothing_personal_stays_on_disk_after_it_was_delivered(tmp_path: Path) -> None:
    canaries = [b"kim-CANARY@example.com", b"+82-10-CANARY"]

    async def scenario() -> None:
        far_end = FarEnd(down)
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path)
            who = Identity(email="kim-CANARY@example.com", phone_no="+82-10-CANARY")
            await asyncio.gather(*(producer.track(who, numbered(number)) for number in range(300)))
            await producer.set_profile(who, {"df_name": "kim-CANARY@example.com"})
            await producer.identify(who)
            assert all(canary in bytes_in(tmp_path) for canary in canaries)  # the look does see them
            far_end.answer = None
            producer.resume()
            await producer.flush()
            await asyncio.sleep(5)
            assert not any(canary in bytes_in(tmp_path) for canary in canaries)
            await producer.track(who, "e")
            await producer.aclose()
        assert not any(canary in bytes_in(tmp_path) for canary in canaries)

    virtually(scenario())
