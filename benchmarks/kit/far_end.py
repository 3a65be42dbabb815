"""Starts the sink on a core of its own, and asks it what came."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CLIENT_CORE, SINK_CORE = 0, 1
HERE = Path(__file__).parents[1]
DOORS: dict[str, dict[str, Any]] = {
    "plain": {},
    "10ms": {"delay": 0.01},
    "20ms": {"delay": 0.02},
    "silent": {"silent": True},
}
TLS_DOORS: dict[str, dict[str, Any]] = {"tls": {}, "tls-20ms": {"delay": 0.02}}


def pin(core: int) -> None:
    """Keep this process on one core, where the system can do that and has that many."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def module_command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a module of the benchmarks, and its environment."""
    paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return [sys.executable, "-m", module, *arguments], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class FarEnd:
    """The sink's process. Use it with `with`."""

    def __init__(self) -> None:
        self.ca: str | None = None
        self._ports: dict[str, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command, environment = module_command("kit.sink", json.dumps({**DOORS, **self._tls_doors()}))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdout is not None
        self._ports = json.loads(self._process.stdout.readline())
        if hasattr(os, "sched_setaffinity") and SINK_CORE in os.sched_getaffinity(0):
            os.sched_setaffinity(self._process.pid, {SINK_CORE})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()

    def _tls_doors(self) -> dict[str, dict[str, Any]]:
        try:
            import trustme  # without it there is no TLS, and the rest still works
        except ImportError:
            return {}
        folder = Path(self._folder.name)
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        self.ca, pair = str(folder / "ca.pem"), (str(folder / "chain.pem"), str(folder / "key.pem"))
        authority.cert_pem.write_to_path(self.ca)
        leaf.private_key_pem.write_to_path(pair[1])
        for number, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(pair[0], append=number > 0)
        return {name: {**door, "tls": pair} for name, door in TLS_DOORS.items()}

    def has(self, door: str) -> bool:
        """Whether that door is there."""
        return door in self._ports

    def url(self, door: str) -> str:
        """Return the address of a door."""
        return f"{'https' if door in TLS_DOORS else 'http'}://127.0.0.1:{self._ports[door]}"

    def desk(self) -> int:
        """Return the port where counts are asked for."""
        return self._ports["plain"]


def ask(desk: int, path: str) -> Any:
    """Ask the sink at its plain door: `/stats`, `/reset` or `/stamps`."""
    connection = http.client.HTTPConnection("127.0.0.1", desk, timeout=30)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
