"""The least that a durable accept and a backlog cost with SQLite and asyncio: ready rows, and nothing of ours.

What `kit.spooling` measures can't be faster than this on the same machine.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TypeAlias

__all__ = ["accept", "read"]

Row: TypeAlias = tuple[int, int, int, int, bytes, bytes, int]

_UNIT = "CREATE TABLE unit (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind, items, size, user, body, crc)"
_APPEND = "INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?, ?)"
_TOGETHER = 50  # rows in one statement, which takes half the time of fifty
_APPEND_TOGETHER = _APPEND + ", (?, ?, ?, ?, ?, ?, ?)" * (_TOGETHER - 1)
_READ = "SELECT seq, kind, items, size, user, body, crc FROM unit WHERE seq > ? ORDER BY seq LIMIT ?"
_BODY = b"x" * 253  # as large as the event that is tracked beside it


async def accept(folder: Path, *, callers: int, calls: int, durability: str) -> list[float]:
    """Have callers wait until their row is on disk, all that wait in one transaction; returns how long each took."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    sync = "FULL" if durability == "power" else "NORMAL"
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", f"synchronous = {sync}"):
        db.execute(f"PRAGMA {setting}").fetchall()
    db.execute(_UNIT)
    loop = asyncio.get_running_loop()
    waiting: list[tuple[asyncio.Future[None], Row]] = []
    arrived = asyncio.Event()
    latencies: list[float] = []
    number = 0

    def commit(rows: list[Row]) -> None:
        db.execute("BEGIN IMMEDIATE")
        whole = len(rows) - len(rows) % _TOGETHER
        for first in range(0, whole, _TOGETHER):
            db.execute(_APPEND_TOGETHER, tuple(chain.from_iterable(rows[first : first + _TOGETHER])))
        db.executemany(_APPEND, rows[whole:])
        db.execute("COMMIT")

    async def caller() -> None:
        nonlocal number
        for _ in range(calls):
            began = time.perf_counter()
            number += 1
            waiter: asyncio.Future[None] = loop.create_future()
            waiting.append((waiter, (number, 0, 1, len(_BODY), b"user-0001", _BODY, 1_234_567_890)))
            arrived.set()
            await waiter
            latencies.append(time.perf_counter() - began)

    with ThreadPoolExecutor(1) as thread:
        tasks = [asyncio.create_task(caller()) for _ in range(callers)]
        while len(latencies) < callers * calls:
            await arrived.wait()
            arrived.clear()
            batch = waiting.copy()
            waiting.clear()
            await loop.run_in_executor(thread, commit, [row for _, row in batch])
            for waiter, _ in batch:
                waiter.set_result(None)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
    db.close()
    return latencies


def read(path: Path, most: int) -> int:
    """Read all rows of a store in windows; returns how many they are."""
    db = sqlite3.connect(path)
    count, after = 0, 0
    while rows := db.execute(_READ, (after, most)).fetchall():
        count, after = count + len(rows), rows[-1][0]
    db.close()
    return count
