"""Pulling many events through a slow server: how long the event loop is held up, and how much memory it takes.

    python benchmarks/loop_lag.py            prints a Markdown table; --quick for a tenth of the events
    python benchmarks/loop_lag.py --write    also keeps it in benchmarks/results, with the date and the machine's shape

The server is the emulator in a process of its own, and answers each request after 100 ms. The source gives events of
100 users in turn, as fast as it is asked, and 1,000 may be pending. DFINERY_LATENCY=0.02 makes the client the one that
is slow, DFINERY_USERS=2000 every request one of a single event. Lag is by how much a timer of 5 ms is late; resident
memory is read every tenth of the way. The first tenth warms up: its lag counts, its memory is what the rest is compared
with.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dfinery_async import DfineryClient, Event, Stats
from dfinery_async.emulator import Emulator, Fault
from kit.results import Page, options
from kit.tables import table

EVENTS = 200_000
USERS = int(os.environ.get("DFINERY_USERS", "100"))
PENDING = 1000
LATENCY = float(os.environ.get("DFINERY_LATENCY", "0.1"))
TICK = 0.005


Settings = tuple[str, str, str]


def serve() -> None:
    """Be the slow server until standard input ends."""
    with Emulator(keep_bodies=False, quota={"events": None}) as emulator:
        emulator.inject(Fault("latency", seconds=LATENCY))
        print(json.dumps([emulator.service_id, emulator.import_token, emulator.base_url]), flush=True)
        sys.stdin.read()


@contextmanager
def slow_server() -> Iterator[Settings]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        service_id, import_token, base_url = json.loads(process.stdout.readline())
        yield service_id, import_token, base_url
        process.stdin.close()


def resident() -> float:
    """Return the resident memory of this process in MB; 0 where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Lag:
    """Notes by how many milliseconds each of its ticks was late."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Note a tick, and wait for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due:
            self.samples.append((now - self._due) * 1000)
        self._due = now + TICK
        self._timer = loop.call_at(self._due, self.start)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()


async def measure(settings: Settings, events: int) -> dict[str, str]:
    memory: list[float] = []
    pending: list[int] = []

    def source() -> Iterator[tuple[str, Event]]:
        for number in range(events):
            if number % (events // 10) == 0:
                memory.append(resident())
            yield f"u{number % USERS}", Event("df_purchase", properties={"n": number, "df_payment_method": "Card"})
        memory.append(resident())

    def progress(stats: Stats) -> None:
        pending.append(stats.pending)

    lag = Lag()
    service_id, import_token, base_url = settings
    async with DfineryClient(service_id, import_token=import_token, base_url=base_url) as client:
        lag.start()
        start = time.perf_counter()
        report = await client.load(source(), progress=progress, max_pending_events=PENDING)
        seconds = time.perf_counter() - start
        lag.stop()
    assert report.delivered == events, report
    hundredths = statistics.quantiles(lag.samples, n=100)
    return {
        "events delivered": f"{report.delivered:,}",
        "requests": f"{report.requests:,}",
        "seconds": f"{seconds:.1f}",
        "events a second": f"{events / seconds:,.0f}",
        "most pending": f"{max(pending):,}",
        "lag of the loop, median, ms": f"{hundredths[49]:.2f}",
        "lag, 99 %, ms": f"{hundredths[98]:.2f}",
        "lag, worst, ms": f"{max(lag.samples):.2f}",
        "memory at the start, MB": f"{memory[0]:.1f}",
        "after a tenth, MB": f"{memory[1]:.1f}",
        "at the end, MB": f"{memory[-1]:.1f}",
        "growth after the first tenth, MB": f"{max(memory[1:]) - memory[1]:.1f}",
    }


def main() -> None:
    if "--serve" in sys.argv[1:]:
        serve()
        return
    chosen = options(__doc__ or "").parse_args()
    with slow_server() as settings:
        figures = asyncio.run(measure(settings, EVENTS // 10 if chosen.quick else EVENTS))
    page = Page("loop_lag", "A slow server", chosen)
    page.add(f"{PENDING:,} may be pending, {USERS:,} users, {LATENCY * 1000:.0f} ms an answer.\n")
    page.add(table(["what", "figure"], figures.items()))
    if chosen.write:
        page.keep()


if __name__ == "__main__":
    main()
