"""Real processes on one quota, over loopback: `python tests/simulation/quota_processes.py --redis`.

An emulator with 300 calls in 3 s, and four processes that each offer as much as it will take.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from redis_kit import SERVERS, RedisServer

from dfinery_async import DfineryClient
from dfinery_async.emulator import Emulator, RequestRecord

LIMIT, PERIOD = 300, 3.0
SETTLED = 2  # windows from the beginning that do not count


async def work(name: str, seconds: float, redis: str) -> None:
    """Send as fast as the quota lets us."""
    share = None
    if redis:
        from dfinery_async.integrations.redis import RedisQuota  # noqa: PLC0415 - may be missing where it is not asked for

        share = RedisQuota(url=redis)
    async with DfineryClient.from_env(quota_share=share) as client:
        producer = client.producer(max_pending_events=64)
        try:
            async with asyncio.timeout(seconds):
                number = 0
                while True:
                    number += 1
                    await producer.track(f"{name}-{number}", "e")
        except TimeoutError:
            await producer.aclose(timeout=0)


def main() -> int:
    options = _options()
    if options.work:
        asyncio.run(work(options.work, options.windows * PERIOD, options.url))
        return 0
    with ExitStack() as stack:
        url = ""
        if options.redis:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            url = stack.enter_context(RedisServer(Path(folder), SERVERS[0])).url
        emulator = stack.enter_context(Emulator(keep_bodies=False, quota={"events": f"{LIMIT}/{PERIOD:.0f}s"}))
        began = time.time()
        workers = [
            subprocess.Popen(
                [sys.executable, __file__, "--work", f"w{number}", "--url", url, "--windows", str(options.windows)],
                env={**_environment(emulator)},
            )
            for number in range(options.processes)
        ]
        ended = [worker.wait() for worker in workers]
        requests = list(emulator.requests)
    assert not any(ended), ended
    return report(requests, int(began // PERIOD), options)


def report(requests: list[RequestRecord], first: int, options: argparse.Namespace) -> int:
    """Print what came of it; 0 if it is as it should be."""
    allowed: Counter[int] = Counter()
    refused: Counter[int] = Counter()
    shares: Counter[str] = Counter()
    came: dict[str, int] = {}
    for request in requests:
        came.setdefault(worker_of(request), int(request.at // PERIOD) - first)
    assert len(came) == options.processes, came
    windows = range(max(came.values()) + SETTLED, max(came.values()) + options.windows - 1)
    for request in requests:
        window = int(request.at // PERIOD) - first
        too_many = request.code == 40401
        (refused if too_many else allowed)[window] += 1
        if window in windows and not too_many:
            shares[worker_of(request)] += 1
    used = sum(allowed[window] for window in windows) / (LIMIT * len(windows))
    throttled = sum(refused[window] for window in windows) / max(1, sum(allowed[window] for window in windows))
    least = min(shares.values()) * options.processes / sum(shares.values())
    way = "Redis" if options.redis else "headers"
    lines = [
        f"{options.processes} processes, {way}, {len(windows)} windows of {LIMIT}/{PERIOD:.0f}s:",
        f"  used {used:.2%}, throttled {throttled:.3%}, least share {least:.1%} of a fair one, {dict(shares)}",
        f"  allowed and throttled by window: {[(allowed[window], refused[window]) for window in range(windows.stop)]}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(used < 0.95 or throttled > 0.005 or least < 0.75)


def worker_of(request: RequestRecord) -> str:
    """Whose request it was."""
    assert request.identity is not None
    name: str = request.identity["external_id"].partition("-")[0]
    return name


def _environment(emulator: Emulator) -> dict[str, str]:
    return {
        **os.environ,
        "DFINERY_SERVICE_ID": emulator.service_id,
        "DFINERY_IMPORT_TOKEN": emulator.import_token,
        "DFINERY_BASE_URL": emulator.base_url,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--work", default="", help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
