"""What the owner of a slot tells others of it while it runs."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from far_end import FarEnd, client_of, failed
from spool_kit import down, leave_behind, modes, rows_on_disk, rows_on_disk_now, together, virtually

from dfinery_async.core.spool_figures import Figures
from dfinery_async.runtime.spool.slots import Slot, claim, figures_of, owner_of


def told(folder: Path) -> dict[str, int]:
    """How many units wait in each slot that has told so."""
    found = {path.name: figures_of(path) for path in sorted(folder.iterdir())}
    return {name: figures.units for name, figures in found.items() if figures is not None}


def test_what_waits_on_disk_is_told_whether_it_is_in_memory_or_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        open_now = False
        far_end = FarEnd(lambda call: None if open_now else failed(50000))
        async with client_of(far_end) as client, client.producer(spool=tmp_path, max_pending_events=50) as producer:
            await asyncio.sleep(0.1)
            assert told(tmp_path) == {"slot-000": 0}
            await together(producer, range(1000))
            await asyncio.sleep(3)
            assert told(tmp_path) == {"slot-000": 1000}
            await together(producer, range(1000, 1200))
            await asyncio.sleep(3)
            figures = figures_of(tmp_path / "slot-000")
            assert figures is not None
            assert figures.units == rows_on_disk_now(producer) == 1200
            assert figures.oldest is not None
            assert figures.oldest <= figures.moment
            assert owner_of(tmp_path / "slot-000") == os.getpid()
            open_now = True
            await producer.flush()
            await asyncio.sleep(3)
            figures = figures_of(tmp_path / "slot-000")
            assert figures is not None
            assert (figures.units, figures.oldest) == (0, None)
        assert told(tmp_path) == {}

    virtually(scenario())
    assert (tmp_path / "slot-000" / "lock").read_bytes() == b""
    assert modes(tmp_path)["slot-000/lock"] == "0o600"
    assert rows_on_disk(tmp_path) == 0


def test_slots_that_were_taken_over_are_told_of_by_themselves(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = claim(tmp_path)
        await leave_behind(tmp_path, 30)
        first.release()
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=tmp_path, max_pending_events=20)
            await together(producer, range(5))
            await asyncio.sleep(3)
            assert told(tmp_path) == {"slot-000": 5, "slot-001": 30}
            await producer.aclose(timeout=0.1)
        async with client_of(FarEnd()) as client, client.producer(spool=tmp_path) as producer:
            await producer.flush()
            await asyncio.sleep(3)
            assert told(tmp_path) == {"slot-000": 0}

    virtually(scenario())


def test_it_is_told_seldom_and_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Figures] = []
    monkeypatch.setattr(Slot, "tell", lambda _, figures: seen.append(figures))

    async def scenario() -> None:
        async with client_of(FarEnd(latency=0.05)) as client, client.producer(spool=tmp_path) as producer:
            for number in range(500):
                await together(producer, [number])
                await asyncio.sleep(0.02)
            assert 2 <= len(seen) <= 7
            await producer.flush()
            await asyncio.sleep(10)
            assert (count := len(seen)) <= 9
            assert seen[-1].units == 0
            await asyncio.sleep(100)
            assert len(seen) == count

    virtually(scenario())


def test_what_cannot_be_told_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(spool=tmp_path) as producer:
            await together(producer, range(100))
            assert (await producer.flush()).delivered == 100
            await asyncio.sleep(3)
            assert told(tmp_path) == {}

    monkeypatch.setattr(os, "pwrite", full)
    virtually(scenario())


def test_only_the_owner_tells(tmp_path: Path) -> None:
    slot = claim(tmp_path)
    slot.tell(Figures(units=3, oldest=None, moment=1.0))
    assert told(tmp_path) == {"slot-000": 3}
    slot.release()
    slot.tell(Figures(units=4, oldest=None, moment=2.0))
    assert told(tmp_path) == {}
    other = claim(tmp_path)
    slot.drop()
    slot.tell(Figures(units=5, oldest=None, moment=3.0))
    assert told(tmp_path) == {}
    other.release()


def test_what_is_no_lock_file_says_nothing(tmp_path: Path) -> None:
    claim(tmp_path).release()
    lock = tmp_path / "slot-000" / "lock"
    lock.unlink()
    assert (owner_of(lock.parent), figures_of(lock.parent)) == (None, None)
    (tmp_path / "else").write_text("1 host\n00000000 {}\n")
    lock.symlink_to(tmp_path / "else")
    assert (owner_of(lock.parent), figures_of(lock.parent)) == (None, None)
    lock.unlink()
    os.mkfifo(lock)
    assert (owner_of(lock.parent), figures_of(lock.parent)) == (None, None)
    lock.unlink()
    lock.mkdir()
    assert (owner_of(lock.parent), figures_of(lock.parent)) == (None, None)
