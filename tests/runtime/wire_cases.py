"""Requests and answers on which two transports are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from wire_kit import pieces
from wire_server import answer


class Case(NamedTuple):
    """One request, what the server says to it, and what comes of it.

    Attributes:
        ask: what `httpx.Request` takes, `method` and `path` beside it; callables are called for each request anew.
        reply: the server's bytes.
        closes: whether the server closes the connection behind them.
        gives: the status, or the name of the error.
        kept: whether the next request finds the connection there.
    """

    ask: dict[str, Any] = {}  # noqa: RUF012 - frozen by habit
    reply: bytes = answer(b"hello")
    closes: bool = False
    gives: int | str = 200
    kept: bool = True

    def options(self) -> dict[str, Any]:
        return {name: value() if isinstance(value, Callable) else value for name, value in self.ask.items()}  # type: ignore[arg-type]


def head(*lines: str, version: str = "1.1", status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("latin-1")


def chunked(*chunks: str, lines: tuple[str, ...] = (), end: str = "0\r\n\r\n") -> bytes:
    return head("Transfer-Encoding: chunked", *lines) + "".join(chunks).encode() + end.encode()


LONG = bytes(range(256)) * 4096  # 1 MiB
MANY_CHUNKS = chunked(*(f"{size:x}\r\n{'x' * size}\r\n" for size in range(1, 400)))

REQUESTS: dict[str, Case] = {
    "get": Case(),
    "get with a query": Case({"path": "/a/b?x=1&y=%20z&y=2"}),
    "get with a query of httpx": Case({"params": {"q": "a b&c", "é": "ü"}}),
    "get with an empty path": Case({"path": ""}),
    "get with a path to quote": Case({"path": "/a b/ü?ü=é#fragment"}),
    "get with dots": Case({"path": "/a/../b/./c//d"}),
    "get with a user": Case({"user": "me:secret@"}),
    "delete": Case({"method": "DELETE"}),
    "delete with a body": Case({"method": "DELETE", "content": b"body"}),
    "options": Case({"method": "OPTIONS"}),
    "options of the server": Case({"method": "OPTIONS", "extensions": {"target": b"*"}}),
    "trace": Case({"method": "TRACE"}),
    "a method of ones own": Case({"method": "M-SEARCH"}),
    "a method in small letters": Case({"method": "get"}),
    "post": Case({"method": "POST", "content": b"hello"}),
    "post json": Case({"method": "POST", "json": {"a": [1, None, "ü"]}}),
    "post a form": Case({"method": "POST", "data": {"a": "1", "b": "x y"}}),
    "post files": Case(
        {
            "method": "POST",
            "files": {"a": ("a.txt", b"text", "text/plain")},
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        }
    ),
    "post an empty body": Case({"method": "POST", "content": b""}),
    "post nothing": Case({"method": "POST"}),
    "put": Case({"method": "PUT", "content": b"\x00\xff\r\n\r\n"}),
    "patch": Case({"method": "PATCH", "content": b"x" * 100}),
    "post a megabyte": Case({"method": "POST", "content": LONG}),
    "post a stream": Case({"method": "POST", "content": lambda: pieces(b"one", b"two", b"three")}),
    "post a stream with gaps": Case({"method": "POST", "content": lambda: pieces(b"", b"one", b"", b"two", b"")}),
    "post an empty stream": Case({"method": "POST", "content": pieces}),
    "post a long stream": Case({"method": "POST", "content": lambda: pieces(LONG, LONG)}),
    "post a stream of known length": Case(
        {"method": "POST", "content": lambda: pieces(b"12345", b"67890"), "headers": {"content-length": "10"}}
    ),
    "get with a body": Case({"content": b"hello"}),
    "get a stream": Case({"content": lambda: pieces(b"hello")}),
    "a stream that is too short": Case(
        {"method": "POST", "content": lambda: pieces(b"123"), "headers": {"content-length": "10"}},
        gives="LocalProtocolError",
        kept=False,
    ),
    "a stream that is too long": Case(
        {"method": "POST", "content": lambda: pieces(b"12345", b"67890", b"1"), "headers": {"content-length": "10"}},
        gives="LocalProtocolError",
        kept=False,
    ),
    "headers that stand twice": Case({"headers": [("a", "1"), ("b", "2"), ("a", "3")]}),
    "headers in odd letters": Case({"headers": {"X-OdD-cAsE": "Value", "accept": "*/*"}}),
    "a header without a value": Case({"headers": {"x-empty": ""}}),
    "a header of latin-1 bytes": Case({"headers": [(b"x", b"caf\xe9")]}),
    "a header with spaces within": Case({"headers": {"x": "a  b\tc"}}),
    "a host of ones own": Case({"headers": {"host": "elsewhere.example.com"}}),
    "a host behind others": Case({"headers": [("a", "1"), ("Host", "elsewhere.example.com")]}),
    "a long header": Case({"headers": {"x": "x" * 30_000}}),
    "many headers": Case({"headers": [(f"x-{number}", str(number)) for number in range(200)]}),
    "cookies": Case({"cookies": {"a": "1", "b": "2"}}),
    "connection: close": Case({"headers": {"connection": "close"}}, kept=False),
    "connection: Close": Case({"headers": {"Connection": "Close"}}, kept=False),
    "te: trailers": Case({"headers": {"te": "trailers"}}),
    "expect": Case({"method": "POST", "content": b"x", "headers": {"expect": "100-continue"}}),
    "a header with a line break": Case({"headers": {"x": "a\r\nb: c"}}, gives="LocalProtocolError", kept=False),
    "a header with a line feed": Case({"headers": {"x": "a\nb: c"}}, gives="LocalProtocolError", kept=False),
    "a header with a null": Case({"headers": {"x": "a\0b"}}, gives="LocalProtocolError", kept=False),
    "a header's name with a space": Case({"headers": {"x y": "a"}}, gives="LocalProtocolError", kept=False),
    "a header's name with a colon": Case({"headers": {"x:y": "a"}}, gives="LocalProtocolError", kept=False),
    "a header's name with a line break": Case({"headers": {"x\r\ny": "a"}}, gives="LocalProtocolError", kept=False),
    "a header without a name": Case({"headers": {"": "a"}}, gives="LocalProtocolError", kept=False),
    "two lengths that differ": Case(
        {"method": "POST", "content": b"xx", "headers": [("content-length", "2"), ("content-length", "3")]},
        gives="LocalProtocolError",
        kept=False,
    ),
    "a length and chunks": Case(
        {
            "method": "POST",
            "content": b"xx",
            "headers": {"content-length": "2", "transfer-encoding": "chunked"},
        }
    ),
    "a coding that is not chunked": Case(
        {"method": "POST", "content": lambda: pieces(b"xx"), "headers": {"transfer-encoding": "gzip"}},
        gives="LocalProtocolError",
        kept=False,
    ),
    "a length twice": Case(
        {"method": "POST", "content": b"xx", "headers": [("content-length", "2"), ("content-length", "2")]},
    ),
    "a length that is no number": Case(
        {"method": "POST", "content": b"xx", "headers": {"content-length": "0x2"}},
        gives="LocalProtocolError",
        kept=False,
    ),
    "a method with a line break": Case({"method": "GET / HTTP/1.1\r\nx:"}, gives="LocalProtocolError", kept=False),
    "a target with a line break": Case(
        {"extensions": {"target": b"/ HTTP/1.1\r\nx: y"}}, gives="LocalProtocolError", kept=False
    ),
    "a target with a space": Case({"extensions": {"target": b"/a b"}}, gives="LocalProtocolError", kept=False),
}

ANSWERS: dict[str, Case] = {
    "no body": Case(reply=answer(b"")),
    "a long body": Case(reply=answer(LONG)),
    "204": Case(reply=head(status="204 No Content"), gives=204),
    "204 with a length": Case(reply=head("Content-Length: 0", status="204 No Content"), gives=204),
    "304": Case(reply=head("ETag: x", status="304 Not Modified"), gives=304),
    "304 with a length": Case(reply=head("Content-Length: 5", status="304 Not Modified"), gives=304),
    "head": Case({"method": "HEAD"}, reply=head("Content-Length: 5")),
    "head, chunked": Case({"method": "HEAD"}, reply=head("Transfer-Encoding: chunked")),
    "head without a length": Case({"method": "HEAD"}, reply=head("X: y")),
    "301": Case(reply=answer(b"", "301 Moved", "Location: http://elsewhere.example.com/"), gives=301),
    "404": Case(reply=answer(b"no", "404 Not Found"), gives=404),
    "500": Case(reply=answer(b"oh", "500 Oh"), gives=500),
    "an unknown status": Case(reply=answer(b"", "799 What Is This"), gives=799),
    "no reason": Case(reply=answer(b"x", "200 ")),
    "no reason and no space": Case(reply=answer(b"x", "200")),
    "a long reason": Case(reply=answer(b"x", "200 " + "so " * 100)),
    "chunks": Case(reply=chunked("5\r\nhello\r\n", "6\r\n world\r\n")),
    "many chunks": Case(reply=MANY_CHUNKS),
    "chunks with extensions": Case(reply=chunked("5;a=b\r\nhello\r\n", '6;x="y"\r\n world\r\n', end="0;z\r\n\r\n")),
    "chunks of odd sizes": Case(reply=chunked("00005\r\nhello\r\n", "A\r\n0123456789\r\n")),
    "chunks with trailers": Case(reply=chunked("5\r\nhello\r\n", end="0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n")),
    "no chunks": Case(reply=chunked()),
    "Chunked in odd letters": Case(reply=chunked("2\r\nhi\r\n").replace(b"chunked", b"ChUnKeD")),
    "until the end": Case(reply=head("X: y") + b"hello", closes=True, kept=False),
    "until the end, without a header": Case(reply=head() + b"hello", closes=True, kept=False),
    "nothing until the end": Case(reply=head("X: y"), closes=True, kept=False),
    "1.0 until the end": Case(reply=head("X: y", version="1.0") + b"hello", closes=True, kept=False),
    "1.0 with a length": Case(reply=head("Content-Length: 5", version="1.0") + b"hello", closes=True, kept=False),
    "1.0 with a length, left open": Case(reply=head("Content-Length: 5", version="1.0") + b"hello", kept=False),
    "connection: close": Case(reply=answer(b"bye", "200 OK", "Connection: close"), kept=False),
    "connection: x, CLOSE": Case(reply=answer(b"bye", "200 OK", "Connection: x, CLOSE"), kept=False),
    "connection: keep-alive": Case(reply=answer(b"on", "200 OK", "Connection: keep-alive", "Keep-Alive: timeout=5")),
    "100 before": Case(reply=head(status="100 Continue") + answer(b"on")),
    "103 before": Case(reply=head("Link: </a>", status="103 Early Hints") + answer(b"on")),
    "much before": Case(reply=head("A: b", status="102 Processing") * 20 + answer(b"on")),
    "headers in odd letters": Case(reply=answer(b"x", "200 OK", "X-OdD: A", "x-odd: B", "ACCEPT-RANGES: none")),
    "headers that stand twice": Case(reply=answer(b"x", "200 OK", "Set-Cookie: a=1", "X: y", "Set-Cookie: b=2")),
    "headers without a value": Case(reply=answer(b"x", "200 OK", "X:", "Y: ", "Z:\t")),
    "spaces around a value": Case(reply=answer(b"x", "200 OK", "X:   a  b \t", "Y:z")),
    "latin-1 bytes in a value": Case(reply=head("X: caf\xe9", "Content-Length: 1") + b"x"),
    "utf-8 bytes in a value": Case(reply=answer(b"x", "200 OK", "X: 고객")),
    "odd signs in a name": Case(reply=answer(b"x", "200 OK", "x!#$%&'*+-.^_`|~1: y")),
    "many headers": Case(reply=answer(b"x", "200 OK", *(f"X-{number}: {number}" for number in range(300)))),
    "a long header": Case(reply=answer(b"x", "200 OK", "X: " + "x" * 50_000)),
    "binary": Case(reply=answer(bytes(range(256)) + b"HTTP/1.1 200 OK\r\n\r\n")),
    "compressed": Case(reply=answer(b"\x1f\x8b not really", "200 OK", "Content-Encoding: gzip")),
    # What is no answer.
    "nothing": Case(reply=b"", closes=True, gives="RemoteProtocolError", kept=False),
    "half a status line": Case(reply=b"HTTP/1.", closes=True, gives="RemoteProtocolError", kept=False),
    "half a head": Case(reply=answer()[:30], closes=True, gives="RemoteProtocolError", kept=False),
    "half a body": Case(reply=answer()[:-3], closes=True, gives="RemoteProtocolError", kept=False),
    "half a chunk": Case(reply=chunked("ff\r\nhello"), closes=True, gives="RemoteProtocolError", kept=False),
    "chunks without an end": Case(
        reply=chunked("5\r\nhello\r\n", end=""), closes=True, gives="RemoteProtocolError", kept=False
    ),
    "news and no answer": Case(reply=head(status="100 Continue"), closes=True, gives="RemoteProtocolError", kept=False),
    "another protocol": Case(
        reply=b"220 mail.example.com ESMTP\r\n\r\n", closes=True, gives="RemoteProtocolError", kept=False
    ),
    "TLS": Case(reply=b"\x15\x03\x01\x00\x02\x02\x0a", closes=True, gives="RemoteProtocolError", kept=False),
    "an endless head": Case(
        reply=b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, closes=True, gives="RemoteProtocolError", kept=False
    ),
}
