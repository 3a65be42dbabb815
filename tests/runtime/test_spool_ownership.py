"""Whose a folder of spools is, what a start does with the slots that it finds, and a close before the start."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from far_end import FarEnd, client_of
from spool_kit import (
    BINDING,
    by_user,
    bytes_in,
    down,
    leave_behind,
    modes,
    numbered,
    rows,
    rows_on_disk,
    virtually,
)

from dfinery_async import (
    ClientClosed,
    DfineryClient,
    SpoolConfig,
    SpoolError,
    SpoolLocked,
)
from dfinery_async.runtime.spool.store import Store
from dfinery_async.runtime.spool.writer import Step


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


@pytest.mark.parametrize("timeout", [0, 30.0])
def test_a_producer_that_was_never_entered_writes_at_its_close(tmp_path: Path, timeout: float) -> None:
    async def scenario() -> None:
        await leave_behind(tmp_path, 3)
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path)
            receipts = [producer.track_nowait("u", numbered(number)) for number in range(5)]
            report = await producer.aclose(timeout=timeout)
            assert (report.accepted, report.spooled, report.dropped) == (8, 8, 0)
            assert [(await receipt).status for receipt in receipts] == ["spooled"] * 5

    virtually(scenario())
    assert rows_on_disk(tmp_path) == 8


def test_a_producer_that_was_never_entered_leaves_a_folder_alone_that_it_does_not_need(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            assert (await client.producer(spool=tmp_path / "s").aclose(timeout=0)).accepted == 0

    virtually(scenario())


def test_a_close_before_the_spool_could_be_opened_says_what_was_lost(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")

    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(spool=tmp_path / "spool")
            producer.track_nowait("u", numbered(1))
            assert (await producer.aclose(timeout=0)).dropped == 1

    virtually(scenario())


def test_whoever_waits_for_the_spool_hears_of_a_close_before_it_was_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(spool=tmp_path)
            flush = asyncio.create_task(producer.flush())
            producer.abandon()
            assert (await flush).state == "closed"

    virtually(scenario())
