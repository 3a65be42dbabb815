"""What the tests of the command line share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
MAIN = "from dfinery_async.cli import main; main()"
COMMAND = [sys.executable, "-c", MAIN]


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


def start(*arguments: str, env: dict[str, str] | None = None, before: str = "") -> subprocess.Popen[str]:
    """Start the command in a process of its own; `before` is code that runs first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DFINERY_")}
    environment |= {"PYTHONPATH": str(ROOT), **(env or {})}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", f"{before}\n{MAIN}", *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
