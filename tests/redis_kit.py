"""A real Redis or Valkey for tests, on a socket in a folder or on a port, started and stopped by whoever needs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["SERVERS", "RedisServer"]

SERVERS = [name for name in ("redis-server", "valkey-server") if shutil.which(name)]
"""Those that are installed: `apt-get install redis-server`, or `valkey-server` where Debian has it."""


class RedisServer:
    """One server. It keeps nothing on disk.

    Args:
        folder: where its socket is.
        program: which one.
        port: a free one on the loopback interface, for those who can't use a socket of a folder.
    """

    def __init__(self, folder: Path, program: str, port: int = 0) -> None:
        self._socket = folder / "redis.sock"
        self._port = port
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}" if self._port else f"unix://{self._socket}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        place = ["--port", str(self._port), "--bind", "127.0.0.1", "--unixsocket", str(self._socket)]
        command = [self._program, *place, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._socket.parent
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise RuntimeError(f"{self._program} did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
