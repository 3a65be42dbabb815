"""One run of each engine: rows into the emulator with faults, a worker killed on the way; for tests and campaign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine_kit import FarEnd, Job, busiest, job, kill, wait_until


def spark(end: FarEnd, path: str, parts: int, after: int, timeout: float) -> dict[str, Any]:
    """Kill the Python worker of a task; Spark runs the task again."""
    with job("spark", path, "--partitions", str(parts), environment=end.environment) as running:
        _kill_when(end, running, after, "pyspark.daemon", timeout)
        return running.result(timeout)


def ray(end: FarEnd, path: str, parts: int, after: int, timeout: float) -> dict[str, Any]:
    """Kill the worker of a write task; Ray runs the task again."""
    with job("ray", path, "--blocks", str(parts), environment=end.environment) as running:
        _kill_when(end, running, after, "ray::Write", timeout)
        return running.result(timeout)


def faststream(end: FarEnd, url: str, parts: int, after: int, timeout: float) -> dict[str, Any]:
    """Kill the application, and start it again. `parts` is not used: one application keeps the order."""
    batch = ("--batch", str(min(after, 5000)))  # what is left is claimed one by one, so let it not be too much
    with job("faststream", url, *batch, environment=end.environment) as first:
        wait_until(lambda: end.count() >= after, first, timeout)
    with job("faststream", url, *batch, environment=end.environment) as second:
        return second.result(timeout)


ENGINES: dict[str, Callable[[FarEnd, str, int, int, float], dict[str, Any]]] = {
    "spark": spark,
    "ray": ray,
    "faststream": faststream,
}


def _kill_when(end: FarEnd, running: Job, after: int, name: str, timeout: float) -> None:
    wait_until(lambda: end.count() >= after, running, timeout)
    kill(busiest(running.process.pid, name))
