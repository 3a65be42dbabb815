"""Share one quota in many ways, and print how well: `python tests/simulation/quota_run.py [--long] [--write]`.

Each line has its floors. In virtual time real pacers share a model of the server; at the end real processes share an
emulator over loopback. `--long` runs all seeds, and a thousand workers.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from quota_redis import SimulatedRedis
from quota_world import Client, Plan, Sliding, TokenBucket, coming_and_going, simulate

HERE = Path(__file__).parent


@dataclass
class Case:
    """One line of the table.

    Attributes:
        name: what is shown.
        plan: makes the plan of a seed.
        seeds: how many are run, and how many with `--long`.
        used: the floor of what is used, from the window `first` on.
        throttled: the most that may be throttled.
        fair: the least that each may have of a fair share; `None` where it is only told.
    """

    name: str
    plan: Callable[[int], Plan]
    seeds: tuple[int, int]
    used: float = 0.97
    throttled: float = 0.001
    fair: float | None = 0.8
    first: int = 2


def alone(**options: object) -> Callable[[int], Plan]:
    return lambda seed: Plan([Client()], **{"limit": 600, "windows": 20, "whole_seconds": bool(seed % 2), **options})  # type: ignore[arg-type]


def many(count: int, *, redis: bool = False, **options: object) -> Callable[[int], Plan]:
    def plan(seed: int) -> Plan:
        made = Plan([], **options)  # type: ignore[arg-type]
        made.clients = coming_and_going(count, made.period, made.windows, seed)
        made.share = SimulatedRedis(seed) if redis else None
        return made

    return plan


def cases() -> Iterator[Case]:
    once = {"throttled": 0.0, "first": 1}
    yield Case("alone, a minute", alone(), (10, 100), used=0.99, **once)  # type: ignore[arg-type]
    yield Case("alone, an hour", alone(period=3600.0), (4, 100), used=0.97, **once)  # type: ignore[arg-type]
    yield Case("alone, a day", alone(period=86_400.0), (4, 100), used=0.97, **once)  # type: ignore[arg-type]
    for count in (2, 4, 16, 64):
        for redis in (False, True):
            floors = {"used": 0.98, "throttled": 0.0, "fair": 0.95} if redis else {}
            way = "Redis" if redis else "headers"
            yield Case(f"{count} clients, {way}", many(count, redis=redis), (1, 10), **floors)  # type: ignore[arg-type]
    hour = many(4, limit=2000, period=3600.0, windows=8)
    yield Case("4 clients, headers, an hour", hour, (1, 10))
    yield Case("4 clients, headers, a day", many(4, limit=2000, period=86_400.0, windows=8), (1, 10))
    bucket = many(4, limit=1200, server=TokenBucket, windows=8)
    yield Case("4 clients, headers, a token bucket", bucket, (1, 10), first=3)
    told = {"used": 0.0, "throttled": 1.0, "fair": None}
    yield Case("alone, sliding window (told only)", alone(server=Sliding), (1, 10), **told)  # type: ignore[arg-type]
    yield Case("4 clients, sliding (told only)", many(4, server=Sliding), (1, 10), **told)  # type: ignore[arg-type]
    crowd = {"used": 0.95, "throttled": 0.005, "fair": None}
    for redis in (False, True):
        way = "Redis" if redis else "headers"
        workers = many(1000, redis=redis, limit=60_000, windows=6)
        yield Case(f"1,000 workers, {way}", workers, (0, 1), **crowd)  # type: ignore[arg-type]


def run(case: Case, seeds: int) -> tuple[str, bool]:
    began = time.process_time()
    figures = [simulate(case.plan(seed), seed) for seed in range(1, seeds + 1)]
    used = [one.used(case.first) for one in figures]
    throttled = [one.throttled(case.first) for one in figures]
    shares = [
        min(found.values())
        for one in figures
        for window in range(case.first, one.plan.windows - 2)
        if (found := one.shares(window, window + 2))
    ]
    fair = min(shares, default=1.0)
    good = min(used) >= case.used and max(throttled) <= case.throttled and (case.fair is None or fair >= case.fair)
    line = (
        f"| {case.name} | {seeds} | {min(used):.2%} | {mean(used):.2%} | {max(throttled):.3%} | {mean(throttled):.3%} "
        f"| {fair:.0%} | {time.process_time() - began:.0f} |"
    )
    return line if good else f"{line} **below its floor**", good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep the figures in results/")
    parser.add_argument("--only", default="", help="cases whose name has this")
    options = parser.parse_args()
    lines = [
        "| case | seeds | used, least | mean | throttled, most | mean | least share of a fair one | CPU s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    _say(*lines)
    good = True
    for case in cases():
        seeds = case.seeds[options.long]
        if seeds and options.only in case.name:
            line, held = run(case, seeds)
            good &= held
            lines.append(line)
            _say(line)
    if not options.only:
        lines += ["", "```text"]
        for extra in ([], ["--redis"]):
            command = [sys.executable, str(HERE / "quota_processes.py"), *extra]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            good &= done.returncode == 0
            lines.append(done.stdout.strip() or done.stderr.strip())
            _say(lines[-1])
        lines.append("```")
    if options.write:
        _write(lines, options.long)
    return 0 if good else 1


def _write(lines: list[str], long: bool) -> None:
    today = dt.datetime.now(dt.UTC).date()
    command = "nox -s quota -- --long --write" if long else "nox -s quota -- --write"
    machine = f"{os.cpu_count()} CPUs, Python {platform.python_version()}, load {os.getloadavg()[0]:.0f}"
    head = [f"# One quota, shared: {today}", "", f"`{command}`, {machine}.", ""]
    (HERE / "results" / f"{today}-quota.md").write_text("\n".join([*head, *lines, ""]))


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
