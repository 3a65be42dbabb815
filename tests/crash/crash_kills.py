"""Dynasties of processes that use one spool, each killed at some moment, the next one going on with what is left.

A process is forked from a warmed parent that has no SQLite open. It says through a pipe what was accepted, after
`track` returned, and what arrived at the API, before the answer goes out. Half of the kills come at a random moment,
half right after the write-ahead log was written to, which is when a commit is under way. The last process of a dynasty
lives until all is delivered. Then every event that was accepted must have arrived, and the first arrivals of each
user's events must have the order of the calls.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import select
import shutil
import signal
import ssl
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from dfinery_async import ConnectionConfig, DfineryClient, Event, RetryConfig, SpoolConfig
from dfinery_async.runtime import spooled_producer
from dfinery_async.runtime.spool.spool import Spool

__all__ = ["Findings", "dynasty", "dynasty_of"]

USERS = 8
_NOTE = struct.Struct("<cBI")  # what, user, number
_LONGEST = 0.02  # seconds until a kill
_PATIENCE = 60.0
# What each process would spend most of its life on is done before it is forked.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_WARM = spooled_producer.SpooledProducer


class Findings(NamedTuple):
    """What a dynasty, or many of them, came to."""

    kills: int = 0
    accepted: int = 0
    lost: int = 0
    reordered: int = 0
    again: int = 0

    def __add__(self, other: Findings) -> Findings:  # type: ignore[override] # figures are added up
        return Findings(*(mine + its for mine, its in zip(self, other, strict=True)))


class _Api(httpx.AsyncBaseTransport):
    """Says what arrives, answers after a while, and sometimes fails."""

    def __init__(self, say: Callable[[bytes, int, int], None], chance: random.Random, *, away: bool) -> None:
        self._say = say
        self._chance = chance
        self._trouble = 1.0 if away else chance.choice([0.0, 0.1, 0.2])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        for _ in range(self._chance.choice([0, 2, 20])):  # turns of the loop until it answers
            await asyncio.sleep(0)
        if self._chance.random() < self._trouble:
            raise httpx.ConnectError("away")
        user = int(body["common"]["identity"]["external_id"])
        for event in body["events"]:
            self._say(b"d", user, event["event_properties"]["n"])
        return httpx.Response(200, json={"status": True, "code": "20000", "message": "", "data": True})


def dynasty(seed: int, kills: int, *, early: bool = False, place: Path | None = None) -> Findings:
    """Play one dynasty.

    Args:
        seed: decides everything but the system's own timing.
        kills: how many processes are killed.
        early: accept before the commit: the defect that must be found.
        place: where the spool is; a new folder by default.
    """
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="dfinery-kills-", dir=place))
    memory = chance.choice([20, 1000])
    accepted: set[tuple[int, int]] = set()
    arrived: list[tuple[int, int]] = []
    ended = False
    try:
        for generation in range(kills + 1):
            last = generation == kills
            child = _Child(folder, chance.randrange(1 << 30), generation, memory, early=early and not last, last=last)
            if not last:
                child.kill_some_time(chance)
            for what, user, number in child.notes():
                if what == b"a":
                    accepted.add((user, number))
                elif what == b"d":
                    arrived.append((user, number))
                else:
                    ended = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not ended:
        raise RuntimeError(f"dynasty {seed}: the last process did not come to its end within {_PATIENCE:.0f} s")
    first = list(dict.fromkeys(arrived))
    by_user: dict[int, list[int]] = {}
    for user, number in first:
        by_user.setdefault(user, []).append(number)
    reordered = sum(later < earlier for each in by_user.values() for earlier, later in itertools.pairwise(each))
    return Findings(kills, len(accepted), len(accepted - set(first)), reordered, len(arrived) - len(first))


def dynasty_of(seed: int, *, early: bool = False) -> Findings:
    """Play the dynasty of a campaign."""
    return dynasty(seed, 20, early=early)


class _Child:
    """A process that uses the spool."""

    def __init__(self, folder: Path, seed: int, generation: int, memory: int, *, early: bool, last: bool) -> None:
        self._log = folder / "slot-000" / "spool.db-wal"
        self._from, to = os.pipe()
        self._pieces: list[bytes] = []
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                os.close(self._from)
                if early:
                    _accept_early()
                asyncio.run(_live(folder, to, random.Random(seed), generation, memory, last=last))
                code = 0
            finally:
                os._exit(code)
        os.close(to)
        os.set_blocking(self._from, False)

    def kill_some_time(self, chance: random.Random) -> None:
        """Kill it, at a random moment or right after the log was written to."""
        moment = self._wait(lambda: bool(self._pieces)) + chance.uniform(0, _LONGEST)
        if chance.random() < 0.5:
            self._wait(lambda: time.monotonic() >= moment)
        else:
            writes, seen = chance.randint(1, 8), self._stamp()

            def written() -> bool:
                nonlocal writes, seen
                if (now := self._stamp()) != seen:
                    writes, seen = writes - 1, now
                return writes <= 0

            self._wait(written)
        os.kill(self._pid, signal.SIGKILL)

    def _wait(self, come: Callable[[], bool]) -> float:
        deadline = time.monotonic() + _PATIENCE
        while not come() and time.monotonic() < deadline:
            if select.select([self._from], [], [], 0.0002)[0] and not self._read():
                break  # it has ended by itself
        return time.monotonic()

    def _stamp(self) -> int:
        try:
            return self._log.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _read(self) -> bool:
        try:
            piece = os.read(self._from, 1 << 16)
        except BlockingIOError:
            return True
        self._pieces.append(piece)
        return bool(piece)

    def notes(self) -> Any:
        """Wait until it has ended, and return what it said."""
        deadline = time.monotonic() + _PATIENCE
        while select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))[0] and self._read():
            pass
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._from)
        said = b"".join(self._pieces)
        return _NOTE.iter_unpack(said[: len(said) // _NOTE.size * _NOTE.size])


async def _live(folder: Path, to: int, chance: random.Random, generation: int, memory: int, *, last: bool) -> None:
    def say(what: bytes, user: int, number: int) -> None:
        os.write(to, _NOTE.pack(what, user, number))

    client = DfineryClient(
        "svc",
        import_token="token",
        transport=_Api(say, chance, away=not last and chance.random() < 0.1),
        retry=RetryConfig(base=0.001, cap=0.005),
        connections=ConnectionConfig(verify=_NO_TLS),
    )
    producer = client.producer(spool=SpoolConfig(path=folder), max_pending_events=memory)

    async def user(name: int) -> None:
        for number in range(generation * 100_000, generation * 100_000 + 90_000):
            await producer.track(str(name), Event("e", properties={"n": number}))
            say(b"a", name, number)

    if last:
        while (await producer.flush(timeout=5)).pending:
            pass
        await producer.aclose()
        say(b"z", 0, 0)
    else:
        await asyncio.gather(*map(user, range(USERS)))


def _accept_early() -> None:
    """Tell whoever waits that a unit is on disk when it was only queued."""
    take = Spool.take

    def early(self: Any, key: bytes, receipt: Any, waiter: Any = None, mark: Any = None) -> None:
        take(self, key, receipt, waiter, mark)
        if waiter is not None:
            asyncio.get_running_loop().call_soon(lambda: waiter.done() or waiter.set_result(None))

    Spool.take = early  # type: ignore[method-assign]
