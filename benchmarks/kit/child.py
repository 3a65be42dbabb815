"""What every measuring process does: one core, one loop, and one line of JSON at the end."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from kit.far_end import CLIENT_CORE, pin


class Meter:
    """CPU seconds of this process (all its threads) and wall seconds, between `start` and `stop`."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        """Begin."""
        self._cpu, self._wall = _cpu(), time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return what has passed."""
        return {"cpu": _cpu() - self._cpu, "wall": time.perf_counter() - self._wall}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def trust(ca: str | None) -> None:
    """Let packages that take no TLS context trust the sink."""
    if ca is not None:
        os.environ.update(REQUESTS_CA_BUNDLE=ca, SSL_CERT_FILE=ca)


def answer(work: Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]) -> None:
    """Do what the first argument says (JSON), and print the result (JSON)."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    pin(CLIENT_CORE)
    trust(spec.get("ca"))
    try:
        result = _run(work(spec), spec.get("loop", "asyncio"))
    except ModuleNotFoundError as error:
        result = {"missing": error.name}
    print(json.dumps(result), flush=True)
    sys.stdout.flush()
    os._exit(0)  # others' threads may still wait for something that never comes


def _run(work: Coroutine[Any, Any, dict[str, Any]], loop: str) -> dict[str, Any]:
    if loop == "asyncio":
        return asyncio.run(work)
    try:
        import uvloop  # only where it is asked for
    except ModuleNotFoundError:
        work.close()
        raise
    result: dict[str, Any] = uvloop.run(work)
    return result
