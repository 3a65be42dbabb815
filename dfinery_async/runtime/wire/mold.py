"""Answers that look like the one before: read by one regular expression instead of a parser's fifteen calls.

An API sends the same answer all day, but for its counts, its date and its ids. So the first answers are parsed, and a
pattern is made of one: its lines, its framing and its body as they were, any value for the other headers. An answer
that arrived in one piece and fits the whole pattern has the framing of the one that was parsed, so what is read is what
the parser would read. Whatever does not fit goes to the parser.
"""

from __future__ import annotations

import re

from dfinery_async.core.reply import RawHeaders

__all__ = ["Mold"]

_LITERAL = {b"connection", b"content-encoding", b"content-length", b"keep-alive", b"trailer", b"upgrade"}
_VALUE = rb"([!-~][ -~]*+)"
_LARGEST = 4096
_LITTLE_USE = 64  # a pattern that fitted fewer answers was not worth its making
_MOST_PATIENCE = 4096


class Mold:
    """What the usual answers to one client look like."""

    def __init__(self) -> None:
        self._pattern: re.Pattern[bytes] | None = None
        self._names: tuple[bytes, ...] = ()
        self._status = 0
        self._body = b""
        self._fits = 0
        self._misses = 0
        self._patience = 1  # misses before the next pattern is made

    def read(self, data: bytes | memoryview) -> tuple[int, RawHeaders, bytes] | None:
        """Return status, headers and body of an answer that fits, or `None`."""
        if self._pattern is None or (found := self._pattern.fullmatch(data)) is None:
            return None
        self._fits += 1
        return self._status, list(zip(self._names, found.groups(), strict=True)), self._body

    def learn(self, data: bytes, status: int, headers: RawHeaders, body: bytes) -> None:
        """Look at an answer that was parsed because it did not fit; make a pattern of it where that promises to pay.

        Args:
            data: the whole answer, as it came in one piece.
            status: as all that follows, what the parser read.
            headers: in order.
            body: decoded of nothing.
        """
        self._misses += 1
        if self._misses < self._patience or len(data) > _LARGEST:
            return
        self._patience = 1 if self._fits >= _LITTLE_USE else min(self._patience * 2, _MOST_PATIENCE)
        self._fits = self._misses = 0
        line, _, rest = data.partition(b"\r\n")
        if rest.partition(b"\r\n\r\n")[2] != body or any(name.lower() == b"transfer-encoding" for name, _ in headers):
            return  # not framed by its length alone
        head = [
            re.escape(b"\r\n%b: " % name) + (b"(%b)" % re.escape(value) if name.lower() in _LITERAL else _VALUE)
            for name, value in headers
        ]
        pattern = re.compile(b"%b%b%b" % (re.escape(line), b"".join(head), re.escape(b"\r\n\r\n" + body)))
        found = pattern.fullmatch(data)
        if found is not None and list(found.groups()) == [value for _, value in headers]:  # else it is unusual
            self._pattern, self._status, self._body = pattern, status, body
            self._names = tuple(name for name, _ in headers)
