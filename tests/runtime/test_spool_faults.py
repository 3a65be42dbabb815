"""The spool on disks that are full or fail, and in forked children: with real disks, limits and processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, balanced, client_of
from spool_kit import by_user, in_real_time, numbered, rows_on_disk

from dfinery_async import ClientClosed, SpoolConfig, SpoolError, SpoolFull

HERE = Path(__file__).parent
TEXT = "x" * 2000


def down(call: Call) -> Exception:
    return httpx.ConnectError("refused")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir(0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip() or 'no permission'}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_refuses_what_is_new_keeps_what_it_has_and_can_be_emptied(small_disk: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(down, latency=0.001)
        async with client_of(far_end) as client:
            producer = client.producer(spool=small_disk)
            kept = 0
            with pytest.raises(SpoolFull, match="no room left"):
                while True:
                    await asyncio.gather(*(producer.track("u", numbered(kept + n, text=TEXT)) for n in range(100)))
                    kept += 100
            kept = producer.stats().accepted
            assert 1500 < kept < 5000
            with pytest.raises(SpoolFull):
                await producer.track("u", numbered(kept, text=TEXT * 10))
            stats = producer.stats()
            assert stats.accepted == stats.pending == kept
            far_end.answer = None
            producer.resume()
            assert (await producer.flush(timeout=20)).delivered == kept
            deadline = asyncio.get_running_loop().time() + 20
            while True:  # until what is done was deleted
                try:
                    await producer.track("u", numbered(kept, text=TEXT))
                    break
                except SpoolFull:
                    assert asyncio.get_running_loop().time() < deadline
                    await producer._spool.space()  # type: ignore[attr-defined]
            report = await producer.aclose()
            assert report.delivered == kept + 1
            assert balanced(report)
            assert by_user(far_end)['{"external_id": "u"}'][-kept - 1 :] == list(range(kept + 1))

    in_real_time(scenario())
    assert rows_on_disk(small_disk) == 0


def test_what_fits_a_full_disk_is_there_after_a_restart(small_disk: Path) -> None:
    async def fill() -> int:
        async with client_of(FarEnd(down)) as client:
            producer = client.producer(spool=small_disk)
            results = await asyncio.gather(
                *(producer.track("u", numbered(number, text=TEXT)) for number in range(10_000)), return_exceptions=True
            )
            refused = [result for result in results if isinstance(result, BaseException)]
            assert refused
            assert {type(error) for error in refused} == {SpoolFull}
            report = await producer.aclose(timeout=0)
            assert report.accepted == report.spooled == 10_000 - len(refused) > 1500
            return report.spooled

    async def send() -> list[int]:
        far_end = FarEnd(latency=0.001)
        async with client_of(far_end) as client, client.producer(spool=small_disk) as producer:
            await producer.flush()
        return by_user(far_end)['{"external_id": "u"}']

    kept = in_real_time(fill())
    assert in_real_time(send()) == list(range(kept))


LIMITED = """
    import asyncio, json, resource, sys
    sys.path.insert(0, sys.argv[2])
    from far_end import FarEnd, client_of
    from spool_kit import numbered
    import httpx
    from dfinery_async import SpoolError
    from dfinery_async.runtime.spool import spool
    spool._REPAIR_EVERY = 0.01

    async def main():
        far_end = FarEnd(lambda call: httpx.ConnectError("refused"), latency=0.001)
        async with client_of(far_end) as client:
            producer = client.producer(spool=sys.argv[1])
            kept, failure = [], None
            await producer.flush()
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, resource.RLIM_INFINITY))
            for number in range(5000):
                try:
                    await producer.track("u", numbered(number, text="x" * 2000))
                except SpoolError as error:
                    failure = failure or f"{type(error).__name__}: {error}"
                    if len(kept) != number:
                        break
                else:
                    kept.append(number)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            while True:  # the disk is well again
                try:
                    await producer.track("u", numbered(9999))
                    break
                except SpoolError:
                    await asyncio.sleep(0.01)
            report = await producer.aclose(timeout=0)
        print(json.dumps({"kept": kept, "failure": failure, "report": report.to_dict()}))

    asyncio.run(main())
"""


def test_a_disk_that_fails_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """A limit on the size of files makes writes fail with EFBIG, which SQLite takes for an error of the disk."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path / "s"), str(HERE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failure"].startswith("SpoolError: the spool's file failed: disk I/O error")
    assert "SQLITE_IOERR_WRITE" in found["failure"]
    assert found["report"]["spooled"] == found["report"]["accepted"] == len(found["kept"]) + 1

    async def send() -> list[int]:
        far_end = FarEnd(latency=0.001)
        async with client_of(far_end) as client, client.producer(spool=tmp_path / "s") as producer:
            await producer.flush()
        return by_user(far_end)['{"external_id": "u"}']

    assert in_real_time(send()) == [*found["kept"], 9999]


def test_a_file_that_is_damaged_while_it_is_used_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        far_end = FarEnd(down, latency=0.001)
        async with client_of(far_end) as client:
            producer = client.producer(spool=tmp_path, max_pending_events=20)
            await asyncio.gather(*(producer.track("u", numbered(number, text=TEXT)) for number in range(1000)))
            producer._spool._stores._own.tidy()  # type: ignore[attr-defined]
            path = tmp_path / "slot-000" / "spool.db"
            with path.open("r+b", buffering=0) as file:  # this drops SQLite's locks; nobody else wants them
                for page in range(300, path.stat().st_size // 4096):
                    os.pwrite(file.fileno(), b"\xff" * 4096, page * 4096)
            far_end.answer = None
            producer.resume()
            report = await producer.flush(timeout=30)
            assert report.pending == 0
            assert balanced(report)
            assert report.delivered + report.rejected == 1000
            assert 100 < report.delivered < 1000
            await producer.track("u", numbered(1000))
            assert (await producer.aclose()).delivered == report.delivered + 1

    with caplog.at_level(logging.ERROR):
        in_real_time(scenario())
    assert "corrupt-1" in caplog.text
    assert (tmp_path / "slot-000" / "spool.db.corrupt-1").exists()
    assert rows_on_disk(tmp_path) == 0


def test_a_child_touches_nothing_of_its_parent(tmp_path: Path) -> None:
    async def scenario() -> None:
        far_end = FarEnd(down, latency=0.001)
        async with client_of(far_end) as client:
            producer = client.producer(spool=SpoolConfig(path=tmp_path, exclusive=True))
            for number in range(50):
                await producer.track("u", numbered(number))
                if number % 10 == 0:
                    assert await asyncio.to_thread(fork_and_try, producer) == 0
            with pytest.raises(SpoolError, match=f"process {os.getpid()}"):  # the lock is held as before
                async with client.producer(spool=SpoolConfig(path=tmp_path, exclusive=True)):
                    pass
            far_end.answer = None
            assert (await producer.aclose()).delivered == 50

    in_real_time(scenario())
    assert rows_on_disk(tmp_path) == 0


def fork_and_try(producer: Any) -> int:
    """Use a copy of a producer in a forked child; 0 if it refuses."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(producer.track("u", "e"))
        except ClientClosed:
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


CHILD_OUTLIVES = """
    import asyncio, os, sys
    sys.path.insert(0, sys.argv[2])
    from far_end import FarEnd, client_of
    from spool_kit import numbered
    import httpx

    async def main():
        client = client_of(FarEnd(lambda call: httpx.ConnectError("refused")))
        producer = client.producer(spool=sys.argv[1])
        await asyncio.gather(*(producer.track("u", numbered(number)) for number in range(300)))
        if os.fork() == 0:
            sys.stdin.read()
            return  # the interpreter ends in good order, with its copy of everything
        print("accepted", flush=True)
        os.kill(os.getpid(), 9)

    asyncio.run(main())
"""


def test_a_child_that_outlives_its_parent_holds_and_harms_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CHILD_OUTLIVES), str(tmp_path), str(HERE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        hears, tells = child.stdin, child.stdout
        assert hears is not None
        assert tells is not None
        assert tells.readline() == b"accepted\n"
        assert child.wait() == -signal.SIGKILL

        async def send() -> list[int]:
            far_end = FarEnd(latency=0.001)
            async with client_of(far_end) as client, client.producer(spool=tmp_path) as producer:
                await producer.flush()
                hears.close()  # the grandchild ends while we hold the slot
                assert tells.read() == b""
                await producer.track("u", numbered(300))
            return by_user(far_end)['{"external_id": "u"}']

        assert in_real_time(send()) == list(range(301))
    assert rows_on_disk(tmp_path) == 0


def test_a_connection_that_is_kept_for_ever_is_never_closed() -> None:
    code = """
        import sqlite3
        from dfinery_async.runtime.spool.forks import keep_for_ever
        class Told(sqlite3.Connection):
            def __del__(self):
                print("gone")
        kept, gone = (sqlite3.connect(":memory:", factory=Told) for _ in range(2))
        keep_for_ever(kept)
        gone.close()
        del kept, gone
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "gone\n"
