"""What tests of the spool share: virtual time beside a thread, and looks into its folder."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import far_end
import httpx
from far_end import Call, FarEnd, VirtualLoop, client_of

from dfinery_async import Event, Identity, Producer, Receipt
from dfinery_async.core import codec
from dfinery_async.core.spool_rows import Row, row_of
from dfinery_async.core.work import Work
from dfinery_async.runtime.spool.store import Store

T = TypeVar("T")

BINDING = "svc at https://openapi.dfinery.ai"


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A store in a folder, open as long as the block lasts."""
    with closing(Store(folder, BINDING)) as store:
        store.open()
        yield store


class InlineLoop(VirtualLoop):
    """Virtual time in which work for a thread takes none: it is done at once, and nobody waits for another clock."""

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override] # any arguments
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - as a thread would
            future.set_exception(error)
        return future


def virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time, the spool's thread included."""
    return far_end.virtually(scenario, InlineLoop)


def in_real_time(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario with the spool's thread, as a program does."""
    return asyncio.run(scenario)


def numbered(number: int, **properties: Any) -> Event:
    return Event("e", properties={"n": number, **properties})


def by_user(api: FarEnd) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for user, number in api.applied():
        found[user].append(number)
    return dict(found)


def work(number: int) -> Work:
    payload = codec.encode_event(numbered(number))
    return Work("events", payload, len(payload))


def rows(numbers: Iterable[int], seed: int, user: str = "u") -> list[Row]:
    key = codec.encode_identity(Identity(external_id=user))
    return [row_of(number, key, work(number), seed) for number in numbers]


def rows_on_disk(folder: Path) -> int:
    """Count what waits in all slots of a folder that nobody uses."""
    count = 0
    for path in folder.glob("slot-*/spool.db"):
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # needs no room on a full disk
            count += db.execute("SELECT count(*) FROM unit").fetchone()[0]
    return count


def rows_on_disk_now(producer: Any) -> int:
    """Count with the producer's own connection: nobody else may open the file."""
    store = producer._spool._stores._own
    count: int = store.waiting(0)[0]
    return count


def bytes_in(folder: Path) -> bytes:
    """All that stands in any file of a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def modes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): oct(os.lstat(path).st_mode & 0o7777) for path in folder.rglob("*")}


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


def delivered_order(far_end: FarEnd) -> dict[str, list[int]]:
    """Numbers by user, the first time that each came."""
    return {user: list(dict.fromkeys(numbers)) for user, numbers in by_user(far_end).items()}
