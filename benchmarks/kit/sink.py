"""The far end: takes every request, says that all is well, and counts. It runs in a process of its own.

    python -m kit.sink '{"plain": {}, "20ms": {"delay": 0.02}, "tls": {"tls": ["chain.pem", "key.pem"]}}'

It prints the port of each door, and ends when standard input does. A door may answer late, speak TLS, or never answer
(`"silent": true`). It speaks just enough HTTP to be faster than what is measured: bodies need a Content-Length.

`GET /stats` gives what was counted since `GET /reset`: requests, events, bytes of bodies, connections that are open,
and its own CPU seconds. An event counts where its name stands in a body. `GET /stamps` gives when the last requests
came, by the monotonic clock. `GET /slow` makes every door late until the next reset: a client then opens all its
connections.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
import sys
import time
import zlib
from collections import deque
from typing import Any, cast

from kit.loads import EVENT_NAME

MARK = EVENT_NAME.encode()
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_GZIP = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_OURS = b'{"status":true,"code":"20000","message":"OK","data":true}'
# What others' packages take for a success: a 200, and some look for their own words in the body.
_OTHERS = {b"/amplitude": b'{"code":200}', b"/mixpanel/track": b'{"status":1,"error":null}'}
_LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_STAMPS = 100_000
_LATE = 0.05


class Counts:
    """What came in since the last reset."""

    def __init__(self) -> None:
        self.stamps: deque[int] = deque(maxlen=_STAMPS)
        self.connections = 0  # open now
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.requests = self.events = self.bytes = 0
        self.late = 0.0
        self._cpu = time.process_time()
        self.stamps.clear()

    def stats(self) -> dict[str, float]:
        """Return the counts."""
        return {
            "requests": self.requests,
            "events": self.events,
            "bytes": self.bytes,
            "connections": self.connections - 1,  # without the one that asks
            "cpu": time.process_time() - self._cpu,
        }


class Replies:
    """The bytes of the answers. The quota's window moves, so they are made anew every second."""

    def __init__(self) -> None:
        self.ours = b""
        self._head = b""
        self.renew()

    def renew(self) -> None:
        """Make them for this second, and come again."""
        reset = int(time.time() // 60 * 60 + 60) * 1000
        self._head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json;charset=UTF-8\r\nx-ratelimit-limit: 1m\r\n"
            b"x-ratelimit-remaining: 999999999\r\nx-ratelimit-reset: %d\r\ncontent-length: %%d\r\n\r\n" % reset
        )
        self.ours = self.of(_OURS)
        asyncio.get_running_loop().call_later(1, self.renew)

    def of(self, body: bytes) -> bytes:
        """Return a whole answer."""
        return self._head % len(body) + body


class Door(asyncio.Protocol):
    """One connection.

    Args:
        counts: shared by all.
        replies: shared by all.
        delay: seconds until the answer.
        silent: never answer.
    """

    def __init__(self, counts: Counts, replies: Replies, delay: float, *, silent: bool) -> None:
        self._counts = counts
        self._replies = replies
        self._delay = delay
        self._silent = silent
        self._later = asyncio.get_running_loop().call_later
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._transport = None
        self._counts.connections -= 1

    def data_received(self, data: bytes) -> None:
        """Take apart what has come; the rest waits for more."""
        stamp = time.perf_counter_ns()
        data = self._rest + data if self._rest else data
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            head = data[start:end]
            found = _LENGTH.search(head)
            if found is None and not head.startswith(b"GET "):
                self._write(_LENGTH_REQUIRED)
                return
            after = end + 4 + (int(found[1]) if found else 0)
            if after > len(data):
                break
            self._take(head, data[end + 4 : after], stamp)
            start = after
        self._rest = data[start:]

    def _take(self, head: bytes, body: bytes, stamp: int) -> None:
        if head.startswith(b"GET "):
            self._tell(head.split(b" ", 2)[1])
            return
        counts = self._counts
        counts.requests += 1
        counts.bytes += len(body)
        counts.stamps.append(stamp)
        if head.startswith(b"POST /api/"):
            reply = self._replies.ours
        else:
            reply = self._replies.of(_OTHERS.get(head.split(b" ", 2)[1].partition(b"?")[0], _OURS))
            if _GZIP.search(head):
                body = unzipped(body)
        counts.events += body.count(MARK)
        if self._silent:
            return
        if delay := self._delay or counts.late:
            self._later(delay, self._write, reply)
            return
        self._write(reply)
        if self._transport is not None and _CLOSE.search(head):
            self._transport.close()

    def _tell(self, path: bytes) -> None:
        told: Any = self._counts.stats()
        if path == b"/reset":
            self._counts.reset()
        elif path == b"/slow":
            self._counts.late = _LATE
        elif path == b"/stamps":
            told = list(self._counts.stamps)
        self._write(self._replies.of(json.dumps(told).encode()))

    def _write(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


def unzipped(body: bytes) -> bytes:
    """Return a body without gzip; nothing where it is none, so that its events are missed."""
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return b""


async def serve(doors: dict[str, dict[str, Any]]) -> None:
    """Open the doors, print where, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    counts, replies = Counts(), Replies()
    ports = {}
    for name, door in doors.items():
        context = None
        if "tls" in door:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*door["tls"])
        delay, silent = float(door.get("delay", 0)), bool(door.get("silent"))
        server = await loop.create_server(
            lambda delay=delay, silent=silent: Door(counts, replies, delay, silent=silent),
            "127.0.0.1",
            0,
            ssl=context,
            backlog=4096,
        )
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    doors = json.loads(sys.argv[1])
    try:
        import uvloop  # the far end should be the fast one, but works without
    except ImportError:
        asyncio.run(serve(doors))
    else:
        uvloop.run(serve(doors))


if __name__ == "__main__":
    main()
