"""The crash campaigns: `python tests/crash/crash_run.py --kills 2000 --images 20000 --processes 2`.

Kills: processes are killed with SIGKILL at random moments and while they commit, and others go on with their spool; a
control accepts before the commit and must lose. Images: power cuts with all that a disk may make of them; a control
runs with durability "process" and must lose. Every part is decided by its seed, but for the system's own timing.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import crash_kills
import crash_power

_KILLS = 20  # of one dynasty
_IMAGES = 100  # of one record
_MEMORY = Path("/dev/shm")  # noqa: S108 - images of a disk are quickest in memory


def main() -> int:
    """Run the campaigns; 0 if all is as it should be."""
    logging.disable()  # that the API is away is as it should be
    options = _options()
    whole = True
    if options.kills:
        whole &= _kills(options)
    if options.images:
        whole &= _images(options)
    _say("all is as it should be" if whole else "FAILED")
    return 0 if whole else 1


def _kills(options: argparse.Namespace) -> bool:
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.kills // _KILLS)
    found = _sum(crash_kills.Findings(), _spread(crash_kills.dynasty_of, seeds, options.processes))
    control = _sum(
        crash_kills.Findings(), _spread(partial(crash_kills.dynasty_of, early=True), seeds[:1], options.processes)
    )
    _say(
        f"kill -9: {found.kills:,} kills, {found.accepted:,} events accepted, {found.lost} lost, "
        f"{found.reordered} out of order, {found.again:,} came twice; {time.monotonic() - began:.0f} s\n"
        f"  control, accepted before the commit: {control.kills} kills, {control.accepted:,} accepted, "
        f"{control.lost:,} lost"
    )
    return bool(found.lost == found.reordered == 0 < control.lost)


def _images(options: argparse.Namespace) -> bool:
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.images // _IMAGES)
    found = _sum(crash_power.Findings(), _spread(partial(_of_record, durability="power"), seeds, options.processes))
    few = seeds[: max(2, len(seeds) // 20)]
    control = _sum(crash_power.Findings(), _spread(partial(_of_record, durability="process"), few, options.processes))
    _say(
        f'power cuts, durability "power": {found.images:,} images, {found.lost} units lost, {found.corrupt} corrupt; '
        f"{time.monotonic() - began:.0f} s\n"
        f'  control, durability "process": {control.images:,} images, {control.losing:,} of them lose units '
        f"({100 * control.losing / control.images:.0f} %), {control.corrupt} corrupt"
    )
    return bool(found.lost == found.corrupt == 0 and control.losing > control.images // 10)


def _of_record(seed: int, durability: Any) -> crash_power.Findings:
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    return crash_power.check_images(crash_power.record(seed, durability), _IMAGES, seed, place)


def _spread(work: Callable[[int], Any], seeds: Iterable[int], processes: int) -> Iterable[Any]:
    if processes == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(work, seeds)


def _sum(start: Any, findings: Iterable[Any]) -> Any:
    for each in findings:
        start += each
    return start


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000, help="processes that are killed")
    parser.add_argument("--images", type=int, default=20_000, help="power cuts")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
