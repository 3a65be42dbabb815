from __future__ import annotations

import asyncio
import datetime as dt
import json
import stat
import threading
from zoneinfo import ZoneInfoNotFoundError

import pytest
from export_bench import BREAK, CSV, HANG, HEADER, ROWS, Bench, Reply, ids

from dfinery_async.errors import (
    BadRequest,
    ConnectionFailed,
    DateRangeExceeded,
    ExportError,
    ExportInterrupted,
    InvalidInputError,
    RateLimited,
    ServerError,
    UnexpectedResponse,
)
from dfinery_async.runtime import export as export_module
from dfinery_async.runtime.export import ExportFile, korea_time
from dfinery_async.runtime.files import AtomicFile

FAILURES = [
    (400, b'{"result":"fail","message":"exceed_date_range_limit"}', DateRangeExceeded),
    (400, b'{"result":"fail","message":"invalid_parameter"}', BadRequest),
    (200, b'{"result":"fail","message":"exceed_date_range_limit"}', DateRangeExceeded),
    (200, b'\xef\xbb\xbf \n{"result":"fail","message":"invalid_parameter"}', BadRequest),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "body", "kind"), FAILURES)
async def test_refusals_are_raised_at_once(status, body, kind, tmp_path):
    for cut in (1, 5, len(body)):
        async with Bench(Reply(body[:cut], body[cut:], status=status)) as bench:
            with pytest.raises(kind) as caught:
                await bench.export.save(tmp_path / "a.csv")
            assert (caught.value.status, caught.value.attempts, bench.slept) == (status, 1, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reply",
    [
        lambda: Reply(b'{"result":"fail","message":"unknown_error"}', status=500),
        lambda: Reply(b'{"result":"fail","message":"client_connection_closed"}'),
        lambda: Reply(b"", status=503),
        lambda: Reply(b"<html>"),
        lambda: Reply(b""),
        lambda: Reply(BREAK),
        lambda: Reply(b"df_event", BREAK),
        lambda: Reply(b"df_event", complete=False),
        lambda: Reply(HEADER, BREAK),
        lambda: Reply(HEADER + b"2025", BREAK),
        lambda: Reply(b'{"result":"f', BREAK, status=500),
        lambda: BREAK,
    ],
)
async def test_passing_trouble_before_a_row_is_tried_again(reply, tmp_path):
    async with Bench(reply(), reply(), Reply(CSV)) as bench:
        assert await ids(bench.export) == ["00000001", "00000002"]
        assert bench.slept == [0.1, 0.2]
        assert bench.source.bodies == [b"part 0"] * 3
    async with Bench(reply(), reply(), reply(), Reply(CSV)) as bench:
        with pytest.raises((ExportInterrupted, ServerError, ConnectionFailed, UnexpectedResponse)) as caught:
            await bench.export.save(tmp_path / "a.csv")
        assert getattr(caught.value, "attempts", 0) == 3
        assert len(bench.source.replies) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_each_part_has_its_own_attempts():
    replies = [Reply(BREAK), Reply(BREAK), Reply(CSV), Reply(BREAK), Reply(BREAK), Reply(CSV)]
    async with Bench(*replies, parts=2) as bench:
        assert len(await ids(bench.export)) == 4
        assert bench.source.bodies == [b"part 0"] * 3 + [b"part 1"] * 3


@pytest.mark.asyncio
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("end", [BREAK, b'{"result":"fail","message":"client_connection_closed"}'])
async def test_what_breaks_after_rows_were_handed_out_is_interrupted(end, complete):
    async with Bench(Reply(CSV, end, complete=complete), Reply(CSV)) as bench:
        seen = []
        with pytest.raises(ExportInterrupted):
            async for row in bench.export:
                seen.append(row)  # noqa: PERF401 - what came before the error counts
        assert len(seen) == 2
        assert len(bench.source.replies) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
async def test_a_file_goes_back_to_where_a_broken_part_began(tmp_path, ending):
    goal = tmp_path / f"a.{ending}"
    replies = [Reply(CSV, BREAK), Reply(CSV), Reply(CSV, ROWS[:30], BREAK), Reply(HEADER + ROWS[:45])]
    async with Bench(*replies, parts=2) as bench:
        result = await bench.export.save(goal)

    assert result == ExportFile(goal, 3, goal.stat().st_size)
    if ending == "csv":
        assert goal.read_bytes() == CSV + ROWS[:45]
    else:
        lines = [json.loads(line) for line in goal.read_text().splitlines()]
        assert [line["df_order_id"] for line in lines] == ["00000001", "00000002", "00000001"]
        assert lines[0]["df_event_datetime"] == "2025-03-01T10:00:00.001000+09:00"


@pytest.mark.asyncio
async def test_a_quota_that_comes_back_in_time_is_waited_for():
    def throttled():
        return Reply(b'{"result":"fail","message":"too_many_api_requests"}', status=429)

    async with Bench(throttled(), throttled(), throttled(), Reply(CSV), hold=10.0) as bench:
        assert len(await ids(bench.export)) == 2
        assert bench.source.throttled == 3
        assert bench.slept == []  # the source waits for the quota itself
    async with Bench(*[throttled() for _ in range(4)], Reply(CSV), hold=10.0) as bench:
        with pytest.raises(RateLimited, match="2025-03-01") as caught:
            await ids(bench.export)
        assert caught.value.attempts == 4
    async with Bench(throttled(), Reply(CSV), hold=31.0) as bench:
        with pytest.raises(RateLimited):
            await ids(bench.export)
        assert len(bench.source.replies) == 1


@pytest.mark.asyncio
async def test_a_failure_without_an_end_is_not_kept_whole():
    reply = Reply(b"{", *[b"x" * 100_000] * 100)
    async with Bench(reply, Reply(CSV)) as bench:
        assert len(await ids(bench.export)) == 2
    assert reply.given < 30


@pytest.mark.asyncio
@pytest.mark.parametrize("cut", range(len(CSV)))
async def test_every_cut_is_seen(cut, tmp_path):
    framed = [Reply(CSV[:cut], BREAK) for _ in range(3)]
    closed = [Reply(CSV[:cut], complete=False) for _ in range(3)]
    async with Bench(*framed) as bench:
        with pytest.raises(ExportInterrupted):
            await bench.export.save(tmp_path / "a.csv")
    if cut == 0 or CSV[cut - 1 : cut] != b"\n":
        async with Bench(*closed) as bench:
            with pytest.raises(ExportInterrupted):
                await bench.export.save(tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_an_answer_that_ends_with_its_connection_is_never_taken(tmp_path):
    async with Bench(*[Reply(CSV, complete=False) for _ in range(3)]) as bench:
        with pytest.raises(ExportInterrupted, match="nothing proves that it is whole"):
            await bench.export.save(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_saving_in_a_block(tmp_path):
    goal = tmp_path / "a.csv"
    async with Bench(Reply(CSV)) as bench, bench.export as export:
        assert len(export.columns) == 3
        result = await export.save(str(goal))

    assert result == ExportFile(goal, 2, len(CSV))
    assert goal.read_bytes() == CSV
    assert stat.S_IMODE(goal.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.asyncio
async def test_parts_of_one_file_have_one_header_and_the_same_columns(tmp_path):
    goal = tmp_path / "a.csv"
    async with Bench(Reply(CSV[:-1]), Reply(CSV), parts=2) as bench:
        result = await bench.export.save(goal)
    assert goal.read_bytes() == CSV + ROWS
    assert result.rows == 4

    async with Bench(Reply(CSV), Reply(b"a\n1\n"), parts=2) as bench:
        with pytest.raises(ExportError, match="different columns"):
            await bench.export.save(tmp_path / "b.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.asyncio
async def test_bad_paths_are_refused_before_anything_is_sent(tmp_path):
    (tmp_path / "dir.csv").mkdir()
    async with Bench() as bench:
        for name in ("a.txt", "a.parquet.gz", "dir.csv"):
            with pytest.raises(InvalidInputError, match="path"):
                await bench.export.save(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            await bench.export.save(tmp_path / "nowhere" / "a.csv")
        assert bench.source.bodies == []


@pytest.mark.asyncio
async def test_a_disk_that_fails_leaves_nothing_and_frees_the_place(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AtomicFile, "write", fail)
    async with Bench(Reply(CSV, HANG)) as bench:
        with pytest.raises(OSError, match="No space"):
            await bench.export.save(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_cancelling_while_the_disk_is_slow_waits_for_it_and_leaves_nothing(tmp_path, monkeypatch):
    loop = asyncio.get_running_loop()
    syncing, cancelled = asyncio.Event(), threading.Event()
    monkeypatch.setattr(AtomicFile, "sync", lambda _: [loop.call_soon_threadsafe(syncing.set), cancelled.wait(10)])
    async with Bench(Reply(CSV)) as bench:
        saving = asyncio.create_task(bench.export.save(tmp_path / "a.csv"))
        await syncing.wait()
        saving.cancel()
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.sleep(0)
        assert not saving.done()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await saving
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_repeated_columns_are_an_error_as_rows_and_no_matter_as_csv(tmp_path):
    async with Bench(Reply(b"a,a\n1,2\n")) as bench:
        with pytest.raises(ExportError, match="twice"):
            await ids(bench.export)
    async with Bench(Reply(b"a,a\n1,2\n")) as bench:
        assert (await bench.export.save(tmp_path / "a.csv")).rows == 1


def test_korea_time_needs_no_time_zone_data(monkeypatch):
    def missing(_):
        raise ZoneInfoNotFoundError

    monkeypatch.setattr(export_module, "ZoneInfo", missing)
    zone = korea_time.__wrapped__()

    assert dt.datetime(2025, 7, 1, tzinfo=zone).utcoffset() == dt.timedelta(hours=9)
    assert dt.datetime(2025, 7, 1, tzinfo=korea_time()).utcoffset() == dt.timedelta(hours=9)
