"""Exports of several calls: side by side, in order, kept for another run, packed."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
import os
import sys
from contextlib import asynccontextmanager

import pytest
from export_bench import BREAK, CSV, DAY, HEADER, ROWS, Bench, Reply, until

from dfinery_async.errors import DateRangeExceeded, ExportInterrupted, InvalidInputError
from dfinery_async.runtime.export_progress import ExportProgress
from dfinery_async.runtime.zstd import zstd

KST = dt.timezone(dt.timedelta(hours=9))
TOO_FAR = b'{"result":"fail","message":"exceed_date_range_limit"}'


def row(day):
    return b"2025-03-01 10:00:00,df_purchase,%d\n" % day


class Days:
    """A far end with an answer for each part, given when the test lets it go."""

    def __init__(self, bench, count):
        self.asked = []
        self.most = self.now = 0
        self.gates = [asyncio.Event() for _ in range(count)]
        self.replies = {f"part {day}".encode(): [Reply(HEADER, row(day))] for day in range(count)}
        bench.source.open = self.open
        bench.source.taken = 0

    @asynccontextmanager
    async def open(self, endpoint, body):
        day = int(body.split()[1])
        self.asked.append(day)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gates[day].wait()
            yield self.replies[body].pop(0)
        finally:
            self.now -= 1


@pytest.mark.asyncio
@pytest.mark.parametrize("ending", ["csv", "jsonl", "csv.gz"])
async def test_calls_go_side_by_side_and_days_come_in_order(tmp_path, ending):
    goal = tmp_path / f"a.{ending}"
    async with Bench(parts=12, width=5) as bench:
        days = Days(bench, 12)
        told: list[ExportProgress] = []
        saving = asyncio.create_task(bench.export.save(goal, progress=told.append))
        for _ in range(50):
            await asyncio.sleep(0)
        assert days.asked == [0]  # the first one goes ahead alone
        days.gates[0].set()
        for _ in range(100):
            await asyncio.sleep(0)
        assert sorted(days.asked) == [0, 1, 2, 3, 4, 5]
        for gate in reversed(days.gates):
            gate.set()
        saved = await saving

    assert days.most == 5
    data = goal.read_bytes()
    text = (gzip.decompress(data) if ending.endswith("gz") else data).decode()
    found = [line.split(",")[2].strip('"}') for line in text.splitlines()[1:]] if ending != "jsonl" else [
        json.loads(line)["df_order_id"] for line in text.splitlines()
    ]  # fmt: skip
    assert found == [str(day) for day in range(12)]
    assert saved.rows == 12
    assert told[-1] == ExportProgress(12, 12, 12 * len(HEADER) + sum(len(row(day)) for day in range(12)), told[-1].day)
    assert told[-1].day == DAY + dt.timedelta(11)
    assert [path.name for path in tmp_path.iterdir()] == [goal.name]


@pytest.mark.asyncio
async def test_a_question_that_is_refused_is_asked_once(tmp_path):
    async with Bench(Reply(TOO_FAR, status=400), parts=9, width=5) as bench:
        with pytest.raises(DateRangeExceeded):
            await bench.export.save(tmp_path / "a.csv")
        assert bench.source.bodies == [b"part 0"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_a_part_that_fails_ends_the_others(tmp_path):
    async with Bench(parts=6, width=5) as bench:
        days = Days(bench, 6)
        days.replies[b"part 3"] = [Reply(HEADER, BREAK) for _ in range(3)]
        days.gates[0].set()
        days.gates[3].set()
        with pytest.raises(ExportInterrupted):
            await bench.export.save(tmp_path / "a.csv")
        assert days.now == 0
        assert days.asked.count(3) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_cancelling_ends_all_calls(tmp_path):
    async with Bench(parts=6, width=5) as bench:
        days = Days(bench, 6)
        days.gates[0].set()
        saving = asyncio.create_task(bench.export.save(tmp_path / "a.csv"))
        await until(lambda: days.now == 5)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert days.now == 0
    assert list(tmp_path.iterdir()) == []


async def broken_run(tmp_path, goal):
    """Save five days of which the fourth can't be had; leaves what is whole aside."""
    async with Bench(parts=5, width=1) as bench:
        days = Days(bench, 5)
        days.replies[b"part 3"] = [Reply(HEADER, BREAK) for _ in range(3)]
        for gate in days.gates:
            gate.set()
        with pytest.raises(ExportInterrupted):
            await bench.export.save(goal, resume=True)
    assert not goal.exists()
    return goal.with_name(f"{goal.name}.parts")


@pytest.mark.asyncio
async def test_resuming_fetches_only_what_is_missing(tmp_path):
    goal = tmp_path / "a.csv"
    aside = await broken_run(tmp_path, goal)
    assert all(path.name.startswith("2025-03-0") for path in aside.iterdir())
    assert aside.stat().st_mode & 0o777 == 0o700
    assert len(list(aside.iterdir())) == 3

    async with Bench(parts=5, width=5) as bench:
        days = Days(bench, 5)
        for gate in days.gates:
            gate.set()
        saved = await bench.export.save(goal, resume=True)
    assert sorted(days.asked) == [3, 4]
    assert goal.read_bytes() == HEADER + b"".join(row(day) for day in range(5))
    assert saved.rows == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.asyncio
async def test_days_that_were_not_over_are_fetched_again(tmp_path):
    goal = tmp_path / "a.csv"
    aside = await broken_run(tmp_path, goal)
    over = dt.datetime.combine(DAY + dt.timedelta(2), dt.time(), KST).timestamp()  # the end of the second day
    _, second, third = sorted(aside.iterdir())
    os.utime(second, (over + 3601, over + 3601))
    os.utime(third, (over + 3601, over + 3601))
    async with Bench(parts=5, width=5) as bench:
        days = Days(bench, 5)
        for gate in days.gates:
            gate.set()
        await bench.export.save(goal, resume=True)
    assert sorted(days.asked) == [2, 3, 4]


@pytest.mark.asyncio
async def test_answers_to_other_questions_are_not_taken_and_stay(tmp_path):
    goal = tmp_path / "a.csv"
    aside = await broken_run(tmp_path, goal)
    for path in aside.iterdir():
        path.rename(path.with_name(path.name.replace("-", "_x", 1)))
    async with Bench(parts=5, width=5) as bench:
        days = Days(bench, 5)
        for gate in days.gates:
            gate.set()
        await bench.export.save(goal, resume=True)
    assert sorted(days.asked) == [0, 1, 2, 3, 4]
    assert len(list(aside.iterdir())) == 3


@pytest.mark.asyncio
async def test_what_can_not_be_resumed_is_said_before_anything_is_sent(tmp_path):
    async with Bench() as bench:
        bench.export._parts.calls = (type(bench.export._parts.calls[0])(b"profiles"),)
        with pytest.raises(InvalidInputError, match="resume: profiles have no days"):
            await bench.export.save(tmp_path / "a.csv", resume=True)
    (tmp_path / "b.csv.parts").write_text("mine")
    async with Bench() as bench:
        with pytest.raises(InvalidInputError, match="stands in the way"):
            await bench.export.save(tmp_path / "b.csv", resume=True)
        assert bench.source.bodies == []


@pytest.mark.asyncio
@pytest.mark.parametrize("packing", ["gz", "zst"])
async def test_packed_files_go_back_to_where_a_broken_part_began(tmp_path, packing):
    need(packing)
    goal = tmp_path / f"a.csv.{packing}"
    replies = [Reply(CSV, BREAK), Reply(CSV), Reply(CSV, ROWS[:30], BREAK), Reply(CSV)]
    async with Bench(*replies, parts=2) as bench:
        saved = await bench.export.save(goal)

    data = goal.read_bytes()
    assert saved.bytes == len(data)
    assert unpacked(data, packing) == CSV + ROWS


def need(packing):
    if packing == "zst" and sys.version_info < (3, 14):
        pytest.importorskip("backports.zstd")


def unpacked(data, packing):
    return gzip.decompress(data) if packing == "gz" else zstd().decompress(data)
