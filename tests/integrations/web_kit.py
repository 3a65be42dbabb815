"""A FastAPI service under uvicorn in processes of its own, and a crowd that calls it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from dfinery_async.emulator import Emulator

ROOT = Path(__file__).parents[2]
SERVICE = """
import os

from fastapi import FastAPI

from dfinery_async import Event
from dfinery_async.integrations.fastapi import ProducerDep, lifespan

app = FastAPI(lifespan=lifespan({options}))


@app.post("/visits/{{number}}")
async def visit(number: int, dfinery: ProducerDep) -> dict[str, int]:
    await dfinery.track(f"user-{{number % 50}}", Event("df_view_home", properties={{"n": number}}))
    return {{"pid": os.getpid(), "version": {version}}}
"""
PATIENCE = 120.0


def write_service(folder: Path, options: str = "", version: int = 1) -> None:
    (folder / "service.py").write_text(SERVICE.format(options=options, version=version), encoding="utf-8")


class Service:
    """A service that runs: what it said, and how to end it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""
        self.address = ""
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._more:
                self.log += line.decode()
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()

    async def said(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until it has said something so many times."""
        async with self._more:
            while len(found := re.findall(pattern, self.log)) < times:
                assert not self._reading.done(), self.log
                await self._more.wait()
        return [str(each) for each in found]

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, as a deploy does, and wait for it."""
        self.process.send_signal(how)
        await self.process.wait()
        await self._reading


@asynccontextmanager
async def serving(folder: Path, emulator: Emulator, *options: str, workers: int = 1) -> AsyncGenerator[Service]:
    """Run `service.py` of a folder under uvicorn, on a free port."""
    environment = {**os.environ, **emulator.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "service:app", "--port", "0", "--no-access-log", *options),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    service = Service(process)
    try:
        async with asyncio.timeout(PATIENCE):
            service.address = (await service.said(r"running on (http://127\.0\.0\.1:\d+)"))[0]
            await service.said("Application startup complete", workers)
            yield service
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


class Crowd:
    """Callers of a service; they note what it confirmed.

    Attributes:
        accepted: numbers that were answered with 200.
        pids: processes that answered.
        versions: versions of the service that answered.
    """

    def __init__(self, service: Service, callers: int = 16) -> None:
        self.accepted: set[int] = set()
        self.pids: set[int] = set()
        self.versions: set[int] = set()
        self._service = service
        self._callers = callers
        self._next = iter(range(1_000_000))
        self._changed = asyncio.Condition()
        self._ended = False

    @asynccontextmanager
    async def calling(self) -> AsyncGenerator[None]:
        """Call the service for as long as the block lasts. Calls that fail count for nothing."""
        # A connection for each call: workers share a socket, and one of them may have taken all the connections.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(base_url=self._service.address, limits=limits) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._callers):
                group.create_task(self._call(http))
            try:
                yield
            finally:
                self._ended = True

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until the answers so far are as asked."""
        async with self._changed:
            await self._changed.wait_for(done)

    async def _call(self, http: httpx.AsyncClient) -> None:
        while not self._ended:
            number = next(self._next)
            try:
                answer = await http.post(f"/visits/{number}")
            except httpx.TransportError:
                await asyncio.sleep(0)
                continue
            if answer.status_code == 200:
                content = answer.json()
                async with self._changed:
                    self.accepted.add(number)
                    self.pids.add(content["pid"])
                    self.versions.add(content["version"])
                    self._changed.notify_all()


def lost(crowd: Crowd, emulator: Emulator) -> list[int]:
    """Numbers that the service confirmed and that never arrived."""
    arrived = {event["event_properties"]["n"] for event in emulator.events}
    return sorted(crowd.accepted - arrived)
