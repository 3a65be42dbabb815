"""What the durable spool costs: accepting, delivering a load over it, reading a backlog back, and slow disks.

    python benchmarks/spool.py                        all parts
    python benchmarks/spool.py --quick --only load    one of accepts, load, replay, latency; small

A slow disk is one whose syncs sleep: a few lines of C in front of fsync and fdatasync, which need a compiler.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.far_end import FarEnd, ask
from kit.harness import Sample, run_once
from kit.results import Page, options, parts
from kit.tables import table

PARTS = ("accepts", "load", "replay", "latency")
ROUNDS = 5
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void nap(void) { const char *text = getenv("SLOW_SYNC_US"); if (text) usleep(atoi(text)); }
int fsync(int file) { nap(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file); }
int fdatasync(int file) { nap(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file); }
"""


def main() -> None:
    parser = options(__doc__ or "")
    chosen = parser.parse_args()
    wanted = parts(parser, chosen, PARTS)
    rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    scale = 20 if chosen.quick else 1
    page = Page("spool", "What the durable spool costs", chosen, ("dfinery-async", "msgspec"))
    where = f"one core for the client and its thread, files in {tempfile.gettempdir()}"
    page.add(f"{rounds} rounds in turns; medians; {where}.\n")
    figures: dict[str, Any] = {}
    with FarEnd() as far_end:
        if "accepts" in wanted:
            specs = {
                f"{callers} callers, {durability}{also}": {
                    "what": what,
                    "events": max(callers, events // scale),
                    "callers": callers,
                    "durability": durability,
                    "door": "silent",
                }
                for callers, events in ((1, 5_000), (100, 100_000), (1000, 200_000))
                for durability in ("power", "process")
                for what, also in (("accepts", ""), ("bare accepts", ", bare SQLite"))
            }
            rows = figures["accepts"] = take(far_end, specs, rounds)
            about = (
                "`track()` returns when the event is on disk. The far end is silent. Beside it, as many tasks that "
                "wait for ready rows to be committed, with nothing of ours: what SQLite, asyncio and the disk leave."
            )
            page.add(f"## Accepting\n\n{about}\n\n{accepts_table(rows)}")
        if "load" in wanted:
            loads: dict[str, dict[str, Any]] = {
                name: {
                    "what": "load",
                    "contender": "ours-load",
                    "load": "a",
                    "events": 200_000 // scale,
                    "mode": mode,
                    "door": "plain",
                }
                for name, mode in (("memory", None), ("always", "always"), ("on_failure", "on_failure"))
            }
            rows = figures["load"] = take(far_end, loads, rounds)
            page.add(f"## Load (a) through `client.load`\n\n200,000 events of 1,000 users.\n\n{load_table(rows)}")
        if "replay" in wanted:
            spec = {"what": "replay", "events": 1_000_000 // scale, "door": "plain"}
            rows = figures["replay"] = take(far_end, {"replay": spec}, rounds)
            page.add(f"## A backlog\n\n{replay_table(rows)}")
        if "latency" in wanted:
            figures["latency"] = latency(far_end, rounds, scale)
            page.add(f"## Slow disks\n\nA sleep before every sync.\n\n{accepts_table(figures['latency'])}")
    if chosen.write:
        page.keep(figures)


def take(far_end: FarEnd, specs: Mapping[str, dict[str, Any]], rounds: int) -> dict[str, list[Sample]]:
    """Take rounds in turns; a measurement that failed ends the run."""
    samples: dict[str, list[Sample]] = {name: [] for name in specs}
    for _ in range(rounds):
        for name, spec in specs.items():
            ask(far_end.desk(), "/reset")
            sample = run_once("kit.spooling", {**spec, "url": far_end.url(spec["door"]), "desk": far_end.desk()})
            if "failed" in sample:
                raise SystemExit(f"{name}: {sample['failed']}")
            if "seen" in sample and sample["seen"]["events"] != sample["events"]:
                raise SystemExit(f"{name}: {sample['seen']['events']} of {sample['events']} events arrived")
            samples[name].append(sample)
    return samples


def latency(far_end: FarEnd, rounds: int, scale: int) -> dict[str, list[Sample]]:
    """Take the latencies of accepting on disks that are slow."""
    rows: dict[str, list[Sample]] = {}
    with slow_syncs() as shim:
        for delay in (0, 1, 5) if shim else (0,):
            for callers, calls in ((1, 300), (100, 20_000 if delay < 5 else 5_000)):
                spec = {"what": "accepts", "events": max(callers, calls // scale), "callers": callers, "door": "silent"}
                if shim:
                    os.environ.update(LD_PRELOAD=str(shim), SLOW_SYNC_US=str(1000 * delay))
                try:
                    rows |= take(far_end, {f"+{delay} ms, {callers} callers": spec}, rounds)
                finally:
                    os.environ.pop("LD_PRELOAD", None)
    return rows


@contextmanager
def slow_syncs() -> Iterator[Path | None]:
    """Compile the shim, where that can be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        source, shim = Path(folder) / "slow.c", Path(folder) / "slow.so"
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"], check=True)
        yield shim


def accepts_table(rows: Mapping[str, list[Sample]]) -> str:
    lines = [
        [
            name,
            f"{middle(samples, lambda one: one['events'] / one['wall']):,.0f}",
            f"{middle(samples, lambda one: 1e6 * one['cpu'] / one['events']):.1f}",
            f"{middle(samples, lambda one: one['p50']):.2f}",
            f"{middle(samples, lambda one: one['p99']):.2f}",
        ]
        for name, samples in rows.items()
    ]
    return table(["", "accepted a second", "CPU µs each", "p50 ms", "p99 ms"], lines)


def load_table(rows: Mapping[str, list[Sample]]) -> str:
    lines = []
    for name, samples in rows.items():
        pairs = list(zip(samples, rows["memory"], strict=True))
        lines.append(
            [
                name,
                f"{middle(samples, lambda one: one['events'] / one['wall']):,.0f}",
                f"{middle(samples, lambda one: 1e6 * one['cpu'] / one['events']):.2f}",
                f"{statistics.median(memory['wall'] / one['wall'] for one, memory in pairs):.2f}",
                f"{statistics.median(memory['cpu'] / one['cpu'] for one, memory in pairs):.2f}",
            ]
        )
    heads = ["spool", "events a second", "CPU µs per event", "throughput, of memory's", "by CPU"]
    return table(heads, lines)


def replay_table(rows: Mapping[str, list[Sample]]) -> str:
    samples = rows["replay"]
    lines = [
        ["units that wait", f"{samples[0]['events']:,}"],
        ["opened and checked, s", f"{middle(samples, lambda one: one['open']):.2f}"],
        ["read, rows a second", f"{middle(samples, lambda one: one['events'] / one['read']):,.0f}"],
        [
            "the same rows by SQLite alone, rows a second",
            f"{middle(samples, lambda one: one['events'] / one['bare']):,.0f}",
        ],
        ["first delivery after the start, s", f"{middle(samples, lambda one: one['first']):.2f}"],
    ]
    return table(["", ""], lines)


def middle(samples: list[Sample], figure: Any) -> float:
    return float(statistics.median(figure(sample) for sample in samples))


if __name__ == "__main__":
    main()
