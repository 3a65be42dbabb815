"""What the tests of the command line share."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
MAIN = "from dfinery_async.cli import main; main()"
COMMAND = [sys.executable, "-c", MAIN]
BOOKS = ("accepted", "delivered", "rejected", "dropped", "spooled", "pending")


def event_line(number: int, **changes: object) -> bytes:
    content = {
        "identity": {"external_id": f"u{number % 7}"},
        "event_name": "df_login",
        "event_datetime": f"2025-03-02T04:{number // 60 % 60:02}:{number % 60:02}.120Z",
        **changes,
    }
    return msgspec.json.encode(content) + b"\n"


def event_file(path: Path, count: int) -> Path:
    path.write_bytes(b"".join(event_line(number) for number in range(count)))
    return path


def books(output: str) -> Any:
    """Read the report of a load, whose sums must be right."""
    report = json.loads(output)
    assert output.count("\n") == 1
    assert {*BOOKS, "requests", "retries", "throttled", "seconds"} <= set(report)
    assert report["accepted"] == sum(report[name] for name in BOOKS[1:])
    return report


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a process of its own: no settings but those that are given."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DFINERY_")}
    return own | {"PYTHONPATH": str(ROOT), **(more or {})}


def start(*arguments: str, env: dict[str, str] | None = None, before: str = "") -> Any:
    """Start the command in a process of its own, its streams pipes of text; `before` is code that runs first."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", f"{before}\n{MAIN}", *arguments]
    return subprocess.Popen(command, env=environment(env), text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def on_a_terminal(columns: int, env: dict[str, str], *arguments: str, results: bool = False) -> tuple[int, list[str]]:
    """Run a command on a terminal of its own: its exit code, and every line that it drew, each as often as drawn.

    Standard output is the terminal too where `results` are wanted.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **env},
        stdin=theirs, stdout=theirs if results else subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    drawn = b""
    with process, contextlib.suppress(OSError):  # reading fails when the other end of a terminal is gone
        while piece := os.read(ours, 65536):
            drawn += piece
    os.close(ours)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", drawn.decode())]
    assert "\x1b" not in "".join(lines)
    return process.returncode, lines
