"""Running a job of an engine against an emulator, each in a process of its own, and killing a worker on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAULTS = ("reset=1%", "lost_answer=1%", "5xx=1.5%", "code=50000,rate=0.015")  # 5 % of the calls


class FarEnd:
    """The emulator's process."""

    def __init__(self, *, quota: str = "1000000/1m", faults: tuple[str, ...] = FAULTS, seed: int = 0) -> None:
        command = [sys.executable, str(HERE / "engine_far_end.py"), "--quota", quota, "--seed", str(seed)]
        for fault in faults:
            command += ["--fault", fault]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
        self.environment: dict[str, str] = self._hear()

    def count(self) -> int:
        """How many events have arrived."""
        return int(self._ask("count"))

    def inject(self, fault: str) -> None:
        """Put one more fault in the way."""
        self._ask(f"inject {fault}")

    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = self._ask("verdict")
        return verdict

    def close(self) -> None:
        with self._process as process:  # closes its pipes, the end of its input ends it
            assert process.stdin is not None

    def _ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def far_end(**options: Any) -> Iterator[FarEnd]:
    emulator = FarEnd(**options)
    try:
        yield emulator
    finally:
        emulator.close()


class Job:
    """A job's process, with all that it starts; ended with the block."""

    def __init__(self, name: str, *arguments: str, environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / f"job_{name}.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=HERE,
            env={**os.environ, **environment, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,
        )

    def result(self, timeout: float) -> dict[str, Any]:
        """What the job printed in the end."""
        output, _ = self.process.communicate(timeout=timeout)
        self._errors.seek(0)
        tail = self._errors.read()[-4000:].decode(errors="replace")
        assert self.process.returncode == 0, f"{output}\n{tail}"
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def close(self) -> None:
        for pid in sorted(descendants(self.process.pid), reverse=True):
            kill(pid)
        kill(self.process.pid)
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()


@contextmanager
def job(name: str, *arguments: str, environment: dict[str, str]) -> Iterator[Job]:
    running = Job(name, *arguments, environment=environment)
    try:
        yield running
    finally:
        running.close()


def wait_until(condition: Callable[[], bool], running: Job, timeout: float) -> None:
    """Look every now and then: an engine tells nobody how far it is."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert running.process.poll() is None, running.result(1)
        assert time.monotonic() < deadline, "nothing arrives"
        try:
            running.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue


def busiest(pid: int, name: str) -> int:
    """The process below `pid` with `name` in its command that has no children and has used most CPU time."""
    candidates = [child for child in descendants(pid) if name in _command(child)]
    parents = {_parent(child) for child in candidates}
    leaves = [child for child in candidates if child not in parents]
    return max(leaves, key=_cpu)


def descendants(pid: int) -> list[int]:
    """All processes that one has started, and those that these have started (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))):
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return []  # it has ended


def _parent(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[1]) if stat else 0


def _cpu(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[11]) + int(stat[12]) if stat else 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.kill(pid, signal.SIGKILL)
