"""A Redis server of our own on the loopback interface, in memory only."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def redis_server() -> Iterator[str]:
    """Start one; gives its URL."""
    program = shutil.which("redis-server")
    assert program is not None
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(
            [program, "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        ) as port,
    ):
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def serving(command: list[str]) -> Iterator[int]:
    """Run a server on a free port until the block ends; `{port}` in its command stands for the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _answers(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answers(process: subprocess.Popen[bytes], port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError("the server ended at once") from None
        return
