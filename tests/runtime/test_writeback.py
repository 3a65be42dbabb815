"""A file that grows is brought to the disk on the way, one sync at a time, and what the disk says is heard."""

from __future__ import annotations

import asyncio
import errno
import os
import threading

import pytest

from dfinery_async.runtime.files import AtomicFile
from dfinery_async.runtime.writeback import Writeback

STEP = 16 * 1024 * 1024

pytestmark = pytest.mark.asyncio


class Disk:
    """Stands in for `os.fsync`: slow until it is told to go on, and perhaps broken."""

    def __init__(self, monkeypatch):
        self.begun = 0
        self.error = None
        self.go_on = threading.Event()
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor):
        self.begun += 1
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


async def begun(disk, count):
    while disk.begun < count:  # noqa: ASYNC110 - another thread counts
        await asyncio.sleep(0)


async def test_a_sync_begins_with_each_step_unless_one_goes_on(tmp_path, disk):
    with AtomicFile(tmp_path / "out.csv") as file:
        writeback = Writeback(file)
        writeback.grew(STEP - 1)
        writeback.grew(1)
        await begun(disk, 1)
        writeback.grew(5 * STEP)
        assert disk.begun == 1
        disk.go_on.set()
        await writeback.ended()
        writeback.grew(1)
        await begun(disk, 2)
        await writeback.ended()
        await writeback.ended()
    assert disk.begun == 2


@pytest.mark.parametrize("hears", ["the next step", "the end"])
async def test_what_the_disk_says_is_heard(tmp_path, disk, hears):
    disk.error = OSError(errno.EIO, "broken")
    disk.go_on.set()
    with AtomicFile(tmp_path / "out.csv") as file:
        writeback = Writeback(file)
        writeback.grew(STEP)
        with pytest.raises(OSError, match="broken"):
            if hears == "the end":
                await writeback.ended()
            while True:
                writeback.grew(STEP)
                await asyncio.sleep(0)


async def test_the_end_is_not_cut_short(tmp_path, disk):
    with AtomicFile(tmp_path / "out.csv") as file:
        writeback = Writeback(file)
        writeback.grew(STEP)
        await begun(disk, 1)
        end = asyncio.create_task(writeback.ended())
        await asyncio.sleep(0)
        end.cancel()
        await asyncio.sleep(0)
        assert not end.done()
        disk.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await end
