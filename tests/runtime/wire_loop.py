"""A network in memory, in virtual time: every segment, every silence and every end of a connection is a test's choice.

It takes the place of the loop's sockets, which are the far end of the transport; nothing of the transport is replaced.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from far_end import VirtualLoop
from wire_server import Request, take_request

HIGH_WATER = 64 * 1024
_END = b""  # what a socket reads once the other side has ended


class Line(asyncio.Transport):
    """A connection in memory. The client holds it as its transport, the test by the methods of the far end below.

    Attributes:
        number: counted from 1, in the order of opening.
        requests: those that came whole.
        heard: bytes of the client that arrived.
        handed: bytes of the far end that the client took.
        open: neither side has ended it.
        aborted: the client threw it away without a farewell.
        listening: `False` leaves what the client writes in its own buffer.
    """

    def __init__(self, loop: WireLoop, number: int, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._to_client: deque[bytes | Exception] = deque()
        self._delivering = False
        self._reading = True
        self._received = bytearray()
        self._unheard = bytearray()
        self._choked = False
        self._ended = False
        self.number = number
        self.requests: list[Request] = []
        self.heard = 0
        self.handed = 0
        self.open = True
        self.aborted = False
        self.listening = not loop.deaf

    # The far end.

    def say(self, *segments: bytes) -> None:
        """Send segments, each of which arrives alone."""
        self._to_client.extend(segment for segment in segments if segment)
        self._go_on()

    def end(self) -> None:
        """Send nothing more (FIN)."""
        self._to_client.append(_END)
        self._go_on()

    def reset(self) -> None:
        """Break the connection (RST)."""
        self._to_client.append(ConnectionResetError(104, "Connection reset by peer"))
        self._go_on()

    def listen(self) -> None:
        """Take what the client wrote, and go on to do so."""
        self.listening = True
        self._hear(bytes(self._unheard))
        self._unheard.clear()
        if self._choked:
            self._choked = False
            self._protocol.resume_writing()

    @property
    def waiting(self) -> int:
        """Segments that the client has not taken yet."""
        return len(self._to_client)

    def _go_on(self) -> None:
        if not self._delivering and self._to_client and self._reading and self.open:
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        if not (self._to_client and self._reading and self.open):
            return
        segment = self._to_client.popleft()
        if isinstance(segment, Exception):
            self._lose(segment)
        elif segment is _END:
            if not self._protocol.eof_received():
                self.close()
        else:
            self.handed += len(segment)
            self._hand_over(segment)
        self._go_on()

    def _hand_over(self, segment: bytes) -> None:
        protocol = self._protocol
        if isinstance(protocol, asyncio.Protocol):
            protocol.data_received(segment)
            return
        left = memoryview(segment)
        while left:
            buffer = memoryview(protocol.get_buffer(-1))
            size = min(len(buffer), len(left))
            buffer[:size] = left[:size]
            protocol.buffer_updated(size)
            buffer[:size] = b"\xee" * size  # whatever was not read by now is lost
            left = left[size:]

    def _hear(self, data: bytes) -> None:
        self.heard += len(data)
        self._received += data
        while (request := take_request(self._received, self.number)) is not None:
            self.requests.append(request)
            self._loop.requests.append(request)
            self._loop.call_soon(self._loop.script, request, self)

    def _lose(self, error: Exception | None) -> None:
        if self.open:
            self.open = False
            self._loop.call_soon(self._protocol.connection_lost, error)

    # The client's side.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.open or self._ended:
            return
        if self.listening:
            self._hear(bytes(data))
            return
        self._unheard += data
        if len(self._unheard) > HIGH_WATER and not self._choked:
            self._choked = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._unheard)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._go_on()

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return not self.open

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self.aborted = True
        self._lose(None)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


Script = Callable[[Request, Line], object]


class WireLoop(VirtualLoop):
    """Virtual time, and connections in memory.

    Attributes:
        script: called with each request that arrives whole.
        connecting: awaited before a connection is there; raises where none comes about.
        deaf: new connections are there, and nobody listens at their far end.
        lines: all connections that were opened.
        requests: all that arrived, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: Script = lambda request, line: None
        self.connecting: Callable[[], Awaitable[object]] | None = None
        self.deaf = False
        self.lines: list[Line] = []
        self.requests: list[Request] = []
        self.unheard: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.unheard.append(context))

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        if self.connecting is not None:
            await self.connecting()
        protocol = protocol_factory()
        line = Line(self, len(self.lines) + 1, protocol)
        self.lines.append(line)
        protocol.connection_made(line)
        return line, protocol

    @property
    def open(self) -> list[Line]:
        return [line for line in self.lines if line.open]


def wire() -> WireLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WireLoop)
    return loop
