"""Simulate many seeds: `python tests/simulation/run.py --seeds 1..6000 --deliveries 10000000 --processes 2`.

A seed, with the scale, decides all of a simulation: a failure is repeated by running its seed alone. `--zipf` shows
instead what order per user costs.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from sim_world import Result, simulate
from sim_zipf import STREAMS, ordered, stream, unordered

_REPORT_EVERY = 15.0
_CHUNK = 4


def main() -> int:
    options = _options()
    if options.zipf:
        return _zipf()
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    began = reported = time.monotonic()
    done = deliveries = requests = 0
    broken: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    failures = 0
    for result in _results(seeds, options.scale, options.processes):
        done += 1
        deliveries += result.delivered
        requests += result.requests
        seen += result.seen
        if result.broken:
            failures += 1
            broken += result.broken
            _show(result, options.scale)
        if options.verbose:
            _say(f"seed {result.seed}: {result.delivered} in {result.requests}, trace {result.trace:08x}")
        if time.monotonic() - reported > _REPORT_EVERY:
            reported = time.monotonic()
            seconds = reported - began
            rate = deliveries / seconds
            _say(f"{seconds:.0f} s: {done} seeds, {deliveries} deliveries, {failures} failures, {rate:.0f} a second")
        enough = options.deliveries and deliveries >= options.deliveries
        if enough or (options.seconds and time.monotonic() - began > options.seconds):
            break
    seconds = time.monotonic() - began
    _say(
        f"seeds {seeds[0]}..{seeds[0] + done - 1}: {done} seeds, {deliveries} deliveries, {requests} requests, "
        f"{failures} failures, {seconds:.0f} s, {deliveries / seconds:.0f} deliveries a second"
    )
    _say("  seen: " + ", ".join(f"{what} {count}" for what, count in seen.most_common()))
    for check, count in broken.most_common():
        _say(f"  broken: {check} ({count})")
    if options.deliveries > deliveries:
        _say(f"only {deliveries} of {options.deliveries} deliveries: give more seeds, or more time")
        return 1
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1..200", help="A..B, both included, or one")
    parser.add_argument("--deliveries", type=int, default=0, help="stop when there were so many")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="size of every simulation")
    parser.add_argument("--zipf", action="store_true", help="what order per user costs")
    parser.add_argument("--verbose", action="store_true", help="a line for every seed")
    return parser.parse_args()


def _zipf() -> int:
    for name in STREAMS:
        whose = stream(name, 200_000)
        with_order, without = ordered(whose), unordered(whose)
        _say(f"{name}: {with_order:.0f} events a second with order, {without:.0f} without: {with_order / without:.3f}")
    return 0


def _results(seeds: Iterable[int], scale: float, processes: int) -> Iterator[Result]:
    work = ((seed, scale) for seed in seeds)
    if processes == 1:
        yield from map(_simulate, work)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_simulate, work, chunksize=_CHUNK)


def _simulate(work: tuple[int, float]) -> Result:
    seed, scale = work
    gc.disable()  # a simulation is short, and what it leaves behind goes at once
    try:
        return simulate(seed, scale)
    finally:
        gc.enable()
        if seed % 8 == 0:
            gc.collect()


def _show(result: Result, scale: float) -> None:
    _say(f"FAILED seed {result.seed}: {dict(result.broken)}")
    for line in result.first[:5]:
        _say(f"    {line[:400]}")
    more = "" if scale == 1.0 else f" --scale {scale}"
    _say(f"    again: python tests/simulation/run.py --seeds {result.seed}{more}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
