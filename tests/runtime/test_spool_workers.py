"""Workers of a real server that share a spool's folder, some of them killed while they work."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from spool_kit import rows_on_disk

from dfinery_async import DfineryClient
from dfinery_async.emulator import Emulator

HERE = Path(__file__).parent
WORKERS = 2
CALLERS = 6
KILLS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def slots(spool: Path) -> int:
    return len(list(spool.iterdir()))


@contextmanager
def server(emulator: Emulator, spool: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = ["-m", "uvicorn", "spool_app:app", "--app-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)]
    workers = ["--workers", str(WORKERS), "--log-level", "error", "--timeout-graceful-shutdown", "5"]
    child = subprocess.Popen(
        [sys.executable, *command, *workers],
        env={**os.environ, **emulator.environment, "SPOOL": str(spool)},
        stderr=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


async def use(port: int, chance: random.Random) -> set[tuple[str, int]]:
    """Have events tracked by several callers, and workers killed meanwhile. Returns what was answered for."""
    tracked: set[tuple[str, int]] = set()
    kills = KILLS

    async def caller(name: str) -> None:
        nonlocal kills
        number = 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http:
            while kills > 0 or number < 20:
                number += 1
                try:
                    reply = await http.post(f"/track/{name}/{number}")
                except httpx.TransportError:
                    await asyncio.sleep(0)  # the worker is gone; whether the event is kept is not known
                    continue
                assert reply.status_code == 200
                tracked.add((name, number))
                if kills > 0 and chance.random() < 0.02:
                    kills -= 1
                    os.kill(reply.json()["pid"], signal.SIGKILL)

    await asyncio.gather(*(caller(f"u{number}") for number in range(CALLERS)))
    return tracked


async def send_the_rest(emulator: Emulator, spool: Path) -> None:
    settings: dict[str, Any] = {"import_token": emulator.import_token, "base_url": emulator.base_url}
    async with DfineryClient(emulator.service_id, **settings) as client, client.producer(spool=spool) as producer:
        await producer.flush()


async def answers(port: int, child: subprocess.Popen[bytes], spool: Path) -> None:
    """Wait until both workers have started: each has a slot then."""
    async with httpx.AsyncClient(trust_env=False) as http:
        while child.poll() is None:
            try:
                await http.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                await asyncio.sleep(0)
            else:
                if slots(spool) == WORKERS:
                    return
    raise AssertionError("the server did not start")


def test_killed_workers_lose_nothing_that_they_answered_for(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    spool = tmp_path / "spool"
    with Emulator() as emulator:
        port = free_port()
        with server(emulator, spool, port) as child:
            asyncio.run(answers(port, child, spool))
            tracked = asyncio.run(use(port, random.Random(seed)))
        for _ in range(10):  # what is done is deleted for a quarter of a second at an end, and then by the next start
            asyncio.run(send_the_rest(emulator, spool))
            if not rows_on_disk(spool):
                break
        arrived = {(event["identity"]["external_id"], event["event_properties"]["n"]) for event in emulator.events}

    assert len(tracked) > CALLERS * 15
    assert tracked - arrived == set(), f"seed {seed}"
    assert rows_on_disk(spool) == 0
    assert WORKERS <= slots(spool) <= WORKERS + KILLS
