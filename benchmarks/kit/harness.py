"""Rounds of measurements, each in a fresh process, in turns: A B C A B C. What did not arrive whole is no figure."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from kit.far_end import FarEnd, module_command

_LONGEST = 1200.0  # seconds for one measurement

Sample = dict[str, Any]


def run_once(module: str, spec: Mapping[str, Any], *, patience: float = _LONGEST) -> Sample:
    """Run one measurement in a process of its own; what it says, or `{"failed": why}`."""
    command, environment = module_command(module, json.dumps(spec))
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {patience:.0f} s"}
    if done.returncode != 0 or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return {"failed": last[0][:200]}
    sample: Sample = json.loads(done.stdout.strip().splitlines()[-1])
    return {"failed": f"{sample['missing']} is not installed"} if "missing" in sample else sample


def fault_of(sample: Mapping[str, Any]) -> str | None:
    """Say why a delivery counts for nothing, `None` where all arrived and nothing came twice."""
    if "failed" in sample:
        return str(sample["failed"])
    missing = sample["events"] - sample["seen"]["events"]
    if missing:
        return f"{missing} events did not arrive" if missing > 0 else f"{-missing} events arrived twice"
    return None


def take_rounds(far_end: FarEnd, module: str, specs: Mapping[str, Mapping[str, Any]], rounds: int) -> dict[str, Any]:
    """Take so many rounds of all specs in turns; the samples by name, or `{"failed": why}` for one that failed.

    Args:
        far_end: the sink.
        module: what measures.
        specs: what it is told, by name; `door` names the sink's.
        rounds: how many.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in specs}
    faults: dict[str, str] = {}
    for number in range(rounds):
        for name, spec in specs.items():
            if name in faults:
                continue
            _say(f"round {number + 1} of {rounds}: {name}")
            if not far_end.has(spec["door"]):
                faults[name] = "no TLS without trustme"
                continue
            target = {"url": far_end.url(spec["door"]), "desk": far_end.desk(), "ca": far_end.ca}
            sample = run_once(module, {**spec, **target})
            fault = fault_of(sample) if "seen" in sample else sample.get("failed")
            if fault is None:
                samples[name].append(sample)
            else:
                faults[name] = fault
    _say("")
    return {name: {"failed": faults[name]} if name in faults else {"samples": samples[name]} for name in specs}


def median(samples: Iterable[Sample], name: str, per: str | None = None) -> float:
    """Return the median of a figure, perhaps per another one of the same sample."""
    return statistics.median(values(samples, name, per))


def values(samples: Iterable[Sample], name: str, per: str | None = None) -> list[float]:
    """Return a figure of every sample, perhaps per another one."""
    return [figure(sample, name) / (figure(sample, per) if per else 1) for sample in samples]


def figure(sample: Sample, name: str) -> float:
    """Return a figure of a sample; `seen.requests` is one that the sink gave."""
    value: Any = sample
    for part in name.split("."):
        value = value[part]
    return float(value)


def _say(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)
