"""A producer with a spool: what it promises its callers, in virtual time."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from far_end import Call, FarEnd, balanced, client_of, failed, ok
from spool_kit import (
    by_user,
    bytes_in,
    delivered_order,
    down,
    leave_behind,
    numbered,
    rows_on_disk,
    together,
    virtually,
)

from dfinery_async import (
    DeliveryError,
    Event,
    Identity,
    InvalidInputError,
    SpoolConfig,
    SpoolFull,
)

MIB = 1024 * 1024


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
