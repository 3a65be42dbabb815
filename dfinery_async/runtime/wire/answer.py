"""Reading one answer after another from the bytes of a connection: llhttp's events, and what they add up to. No I/O."""

from __future__ import annotations

import enum
import math

import httpcore
import httptools

from dfinery_async.core.reply import RawHeaders
from dfinery_async.runtime.wire.mold import Mold

__all__ = ["AnswerReader", "Phase"]

_LARGEST_HEAD = 100 * 1024
_FRAMING = {b"content-length", b"transfer-encoding"}
_WITHOUT_BODY = {204, 304}


class Phase(enum.Enum):
    """Where a connection stands."""

    NEW = enum.auto()
    IDLE = enum.auto()
    WAITING = enum.auto()
    """For the end of an answer's head."""
    BODY = enum.auto()
    DONE = enum.auto()
    """The answer is whole, but was not taken yet."""
    CLOSED = enum.auto()


_IDLE, _WAITING, _BODY, _DONE = Phase.IDLE, Phase.WAITING, Phase.BODY, Phase.DONE  # globals are cheaper than attributes


class _EndOfReading(Exception):
    """Leaves the parser: nothing more of this answer is wanted."""


class AnswerReader:
    """What has been read of an answer.

    Args:
        mold: what the usual answers look like, where such are expected.

    Attributes:
        status: HTTP status.
        reason: its reason phrase.
        version: its HTTP version.
        keep: whether another request may follow on the connection.
    """

    __slots__ = (
        "_head",
        "_head_bytes",
        "_headers",
        "_headless",
        "_largest",
        "_mold",
        "_parser",
        "_parts",
        "_phase",
        "_size",
        "_whole",
        "keep",
        "reason",
        "status",
    )

    def __init__(self, mold: Mold | None = None) -> None:
        self.status: int = 0
        self.reason: bytes = b""
        self.keep: bool = True
        self._phase = Phase.NEW
        self._parser = httptools.HttpResponseParser(self)
        self._headers: RawHeaders = []  # of the part that is being parsed
        self._head: RawHeaders = []
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._largest = math.inf
        self._headless = False
        self._mold = mold
        self._whole = False

    @property
    def version(self) -> bytes:
        """HTTP version of the answer whose head is there."""
        return b"HTTP/%b" % self._parser.get_http_version().encode()

    @property
    def framed(self) -> bool:
        """Whether the answer's head tells where its body ends."""
        return self.status in _WITHOUT_BODY or any(name.lower() in _FRAMING for name, _ in self._head)

    def expect(self, largest: float, *, headless: bool, whole: bool) -> None:
        """Get ready for the answer to a request.

        Args:
            whole: whether nothing is done with it before it is there to its end.
            largest: bytes of a body that are read at the most; a longer one is left out and counts as empty.
            headless: whether it has a head alone, whatever that says: it answers HEAD.
        """
        self._phase = _WAITING
        self._largest = largest
        self._headless = headless
        self._head_bytes = 0
        self._whole = whole and not headless

    def feed(self, data: bytes | memoryview) -> httpcore.RemoteProtocolError | None:
        """Read on. Returns what is wrong with the answer, if anything is."""
        if self._mold is None or not self._whole or self._head_bytes:
            return self._parse(data)
        if (usual := self._mold.read(data)) is not None and len(usual[2]) <= self._largest:
            self.status, self._head, body = usual
            self._parts = [body]
            self._phase = _DONE
            return None
        error = self._parse(data)
        if self._phase is _DONE and self.keep and not error:
            self._mold.learn(bytes(data), self.status, self._head, b"".join(self._parts))
        return error

    def _parse(self, data: bytes | memoryview) -> httpcore.RemoteProtocolError | None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep = False
            if self._phase is not _DONE:  # else it is whole, and what follows it is not wanted
                return httpcore.RemoteProtocolError(f"the answer is not HTTP: {type(error).__name__}")
        if self._phase is not _DONE:
            self._head_bytes += len(data)
            if self._phase is _WAITING and self._head_bytes > _LARGEST_HEAD:
                return httpcore.RemoteProtocolError("the answer's head is too long")
        return None

    def forget(self) -> None:
        """Be done with an answer."""
        self._parts = []
        self._size = 0
        self.reason = b""
        self._phase = _IDLE if self.keep else Phase.CLOSED

    # What the parser tells.

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        if self._phase is not _WAITING:
            raise _EndOfReading  # bytes after the end of the answer

    def on_status(self, reason: bytes) -> None:
        """The reason phrase, or a piece of it."""
        self.reason = self.reason + reason if self.reason else reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer of a body in chunks."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; the body, if there is one, follows."""
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise _EndOfReading  # nobody asked for another protocol
            return
        self.status = status
        self._head, self._headers = self._headers, []  # trailers are no headers
        self._phase = _BODY
        if self._headless:
            self._phase = _DONE
            raise _EndOfReading  # llhttp would take the next answer for this one's body

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._largest:
            self._parts = []
            self._phase = _DONE
            raise _EndOfReading

    def on_message_complete(self) -> None:
        """The answer is whole, or it was news before the answer (1xx)."""
        self._headers = []
        if self._phase is _BODY:
            self._phase = _DONE
            self.keep = self.keep and self._parser.should_keep_alive()
        else:
            self.reason = b""
