from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc

import anyio
import pytest
from export_bench import CSV, HANG, HEADER, ROWS, Bench, Reply, ids, until

from dfinery_async.errors import (
    ClientClosed,
    DfineryError,
)


@pytest.mark.asyncio
async def test_rows_are_typed_and_columns_known_on_entering():
    async with Bench(Reply(CSV[:20], CSV[20:])) as bench, bench.export as export:
        assert export.columns == ("df_event_datetime", "df_event_name", "df_order_id")
        rows = [row async for row in export]

    moment = dt.datetime(2025, 3, 1, 1, 0, 0, 1000, tzinfo=dt.UTC)
    assert rows[0] == {"df_event_datetime": moment, "df_event_name": "df_purchase", "df_order_id": "00000001"}
    assert rows[0]["df_event_datetime"].utcoffset() == dt.timedelta(hours=9)
    assert len(rows) == 2


@pytest.mark.asyncio
async def test_rows_without_a_block():
    async with Bench(Reply(CSV)) as bench:
        assert await ids(bench.export) == ["00000001", "00000002"]
        assert bench.export.columns == ("df_event_datetime", "df_event_name", "df_order_id")


@pytest.mark.asyncio
async def test_the_zone_can_be_told():
    async with Bench(Reply(CSV), zone=dt.UTC) as bench:
        rows = [row async for row in bench.export]

    assert rows[0]["df_event_datetime"] == dt.datetime(2025, 3, 1, 10, 0, 0, 1000, tzinfo=dt.UTC)


@pytest.mark.asyncio
async def test_parts_come_in_the_order_of_days_and_one_at_a_time():
    replies = [Reply(HEADER + b",,%d\n" % day) for day in range(4)]
    async with Bench(*replies, parts=4) as bench, bench.export as export:
        async for row in export:
            assert len(bench.source.bodies) == int(row["df_order_id"]) + 1
            assert bench.source.taken <= 1

    assert bench.source.bodies == [b"part 0", b"part 1", b"part 2", b"part 3"]


@pytest.mark.asyncio
async def test_parts_may_have_different_columns_as_rows():
    async with Bench(Reply(b"a\n1\n"), Reply(b"b,a\n2,3\n"), parts=2) as bench:
        assert [row async for row in bench.export] == [{"a": "1"}, {"b": "2", "a": "3"}]


@pytest.mark.asyncio
async def test_an_export_without_rows_has_columns():
    async with Bench(Reply(HEADER)) as bench, bench.export as export:
        assert len(export.columns) == 3
        assert await ids(export) == []


@pytest.mark.asyncio
async def test_a_last_row_needs_no_newline_where_framing_proves_the_end():
    async with Bench(Reply(CSV[:-1])) as bench:
        assert await ids(bench.export) == ["00000001", "00000002"]


@pytest.mark.asyncio
async def test_an_answer_may_give_its_pieces_from_any_iterator():
    class Pieces:
        def __init__(self):
            self.left = [HEADER, ROWS]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    reply = Reply()
    reply.chunks = Pieces  # type: ignore[method-assign]
    async with Bench(reply) as bench:
        assert await ids(bench.export) == ["00000001", "00000002"]


@pytest.mark.asyncio
async def test_empty_pieces_mean_nothing():
    async with Bench(Reply(b"", CSV, b"")) as bench:
        assert len(await ids(bench.export)) == 2


def test_columns_before_entering_say_what_to_do():
    bench = Bench()

    with pytest.raises(DfineryError, match="async with"):
        _ = bench.export.columns


@pytest.mark.asyncio
async def test_an_export_runs_once(tmp_path):
    async with Bench(Reply(CSV), Reply(CSV)) as bench:
        assert len(await ids(bench.export)) == 2
        with pytest.raises(DfineryError, match="closed"):
            await ids(bench.export)
        with pytest.raises(DfineryError, match="closed"):
            await bench.export.save(tmp_path / "a.csv")
        with pytest.raises(DfineryError, match="runs once"):
            await bench.export.__aenter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_rows_and_a_file_exclude_each_other(tmp_path):
    async with Bench(Reply(CSV)) as bench, bench.export as export:
        async for _ in export:
            with pytest.raises(DfineryError, match="as rows, as a table or into one file"):
                await export.save(tmp_path / "a.csv")
            break
        assert await ids(export) == ["00000002"]  # goes on where the first loop left


@pytest.mark.asyncio
async def test_breaking_out_of_a_loop_closes_the_answer():
    reply = Reply(CSV, HANG)
    async with Bench(reply) as bench:
        async for _ in bench.export:
            break
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert reply.chunks_closed
        assert bench.source.taken == 0


@pytest.mark.asyncio
async def test_leaving_the_block_closes_the_answer():
    reply = Reply(CSV, HANG)
    async with Bench(reply) as bench:
        with pytest.raises(ZeroDivisionError):
            async with bench.export as export:
                async for _ in export:
                    raise ZeroDivisionError
        assert reply.chunks_closed
        assert bench.source.taken == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("script", [[HANG], [HEADER, HANG], [CSV, HANG], [CSV, *[ROWS * 20_000] * 40]])
@pytest.mark.parametrize("how", ["rows", "block", "csv", "jsonl"])
async def test_cancelling_closes_the_answer_in_its_own_task(script, how, tmp_path):
    reply = Reply(*script)
    async with Bench(reply) as bench:
        reached = asyncio.Event()

        async def use():
            if how == "rows":
                async for _ in bench.export:
                    reached.set()
                    await asyncio.Event().wait()
            elif how == "block":
                async with bench.export as export:
                    async for _ in export:
                        reached.set()
                        await asyncio.Event().wait()
            else:
                await bench.export.save(tmp_path / f"a.{how}")

        task = asyncio.create_task(use())
        given = len([step for step in script[:2] if step is not HANG])
        await until(lambda: bench.source.taken and reply.given >= given)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert task not in bench.source.tasks
        if how == "rows":  # without a block, what was interrupted outside the iterator is closed when that is collected
            del task
            gc.collect()
            await until(lambda: bench.source.taken == 0)
        assert bench.source.taken == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_cancelling_while_waiting_for_a_place_gives_it_up():
    async with Bench(HANG) as bench:
        with anyio.move_on_after(0.01):
            await ids(bench.export)
        assert bench.source.bodies == [b"part 0"]
        with pytest.raises(DfineryError, match="closed"):
            await ids(bench.export)


@pytest.mark.asyncio
async def test_a_slow_reader_bounds_what_waits():
    reply = Reply(CSV, *[ROWS * 1000] * 200)
    async with Bench(reply) as bench, bench.export as export:
        async for _ in export:
            for _ in range(50):
                await asyncio.sleep(0)
            assert reply.given < 30
            break


@pytest.mark.asyncio
async def test_closing_the_client_ends_an_export():
    async with Bench(Reply(CSV, HANG)) as bench:
        with pytest.raises(ClientClosed):
            async with bench.export as export:
                async for _ in export:
                    await bench.tasks.aclose()


@pytest.mark.asyncio
async def test_closing_the_client_before_the_call_began_ends_it_too():
    async with Bench(Reply(CSV)) as bench:
        entering = asyncio.create_task(bench.export.__aenter__())
        await asyncio.sleep(0)
        await bench.tasks.aclose()
        with pytest.raises(ClientClosed):
            await entering
        assert bench.source.bodies == []


@pytest.mark.asyncio
async def test_closing_an_export_from_elsewhere_ends_its_loop():
    async with Bench(Reply(CSV, HANG)) as bench, bench.export as export:
        seen = []

        async def use():
            async for row in export:
                seen.append(row)  # noqa: PERF401 - the test looks at it meanwhile

        loop = asyncio.create_task(use())
        await until(lambda: len(seen) == 2)
        await export.aclose()
        with pytest.raises(ClientClosed):
            await loop
