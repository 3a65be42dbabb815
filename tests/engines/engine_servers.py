"""Servers of our own on the loopback interface: Redis, in memory only, and others by their commands."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis_kit import SERVERS, RedisServer


@contextmanager
def redis_server() -> Iterator[str]:
    """Start one that keeps nothing; gives its URL."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), SERVERS[0], _free_port()) as server:
        yield server.url


@contextmanager
def serving(command: list[str]) -> Iterator[int]:
    """Run a server on a free port until the block ends; `{port}` in its command stands for the port."""
    port = _free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _answers(process, port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


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
