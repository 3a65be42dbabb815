"""Answers in every cut, and answers that are made to be misread: none is ever taken for that of another request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
from export_bench import until
from far_end import virtually
from wire_bench import hoard
from wire_cases import ANSWERS, Case, chunked, head
from wire_kit import TRANSPORTS, Outcome, ask, fast, post
from wire_loop import Line, WireLoop, wire
from wire_server import Request, Server, answer, ends_with

from dfinery_async.runtime.wire.transport import FastTransport

ORIGIN = "http://far.example"
SHORT_ENOUGH = {name: case for name, case in ANSWERS.items() if len(case.reply) < 500}


async def said(case: Case, *segments: bytes) -> Outcome:
    """What comes of a case when its answer arrives in these segments."""

    def script(request: Request, line: Line) -> None:
        line.say(*segments)
        if case.closes:
            line.end()

    wire().script = script
    async with fast() as transport:
        options = {"method": "GET", **case.options()}
        return await ask(transport, ORIGIN, **options)


@pytest.mark.parametrize("name", SHORT_ENOUGH)
def test_an_answer_may_be_cut_at_any_byte(name: str) -> None:
    case = SHORT_ENOUGH[name]
    reply = case.reply

    async def scenario() -> None:
        whole = await said(case, reply)
        assert (whole.error or whole.status) == case.gives
        for cut in range(1, len(reply)):
            assert await said(case, reply[:cut], reply[cut:]) == whole, f"cut at {cut}"
        assert await said(case, *(reply[at : at + 1] for at in range(len(reply)))) == whole
        for size in (2, 3, 7):
            assert await said(case, *(reply[at : at + size] for at in range(0, len(reply), size))) == whole
        assert wire().open == []

    virtually(scenario(), WireLoop)


@pytest.mark.parametrize("name", SHORT_ENOUGH)
def test_an_answer_may_break_off_at_any_byte(name: str) -> None:
    case = SHORT_ENOUGH[name]
    by_its_end = case.gives != "RemoteProtocolError" and case.closes and b"ength" not in case.reply

    async def broken(reply: bytes, *, reset: bool) -> Outcome:
        def script(request: Request, line: Line) -> None:
            line.say(reply)
            line.reset() if reset else line.end()

        wire().script = script
        async with fast() as transport:
            return await ask(transport, ORIGIN, **{"method": "GET", **case.options()})

    async def scenario() -> None:
        body = case.reply.find(b"\r\n\r\n") + 4
        whole = await said(case, case.reply)
        for cut in range(len(case.reply)):
            ended = await broken(case.reply[:cut], reset=False)
            if ended != whole:
                assert ended.error == "RemoteProtocolError" or (by_its_end and cut >= body), f"{cut}: {ended}"
            cut_off = await broken(case.reply[:cut], reset=True)
            if cut_off != whole:
                assert cut_off.error in {"ReadError", "RemoteProtocolError"}, f"{cut}: {cut_off}"

    virtually(scenario(), WireLoop)


# Answers that two readers may read differently, or that carry more than was asked for. Whatever becomes of the request
# itself, the next ones get their own answers. "refused" must not be taken for an answer at all.

LENGTH = "content-length: 5"
SECOND = head("content-length: 8", "x: smuggled", status="200 Smuggled") + b"SMUGGLED"
REFUSED = {
    "lengths that differ": head(LENGTH, "content-length: 6") + b"hello!",
    "lengths that differ in one line": head("content-length: 5, 6") + b"hello!",
    "a negative length": head("content-length: -5") + b"hello",
    "a length with a sign": head("content-length: +5") + b"hello",
    "a hexadecimal length": head("content-length: 0x5") + b"hello",
    "a length with a dot": head("content-length: 5.0") + b"hello",
    "a length with a space": head("content-length: 5 0") + b"hello",
    "an empty length": head("content-length: ") + b"hello",
    "a huge length": head("content-length: " + "9" * 40) + b"hello",
    "a length of 64 bits and one": head("content-length: 18446744073709551621") + b"hello",
    "a space before the colon": head("content-length : 5") + b"hello",
    "a null in a value": head(LENGTH, "x: a\0b") + b"hello",
    "a null in a name": head(LENGTH, "x\0: b") + b"hello",
    "a carriage return in a value": head(LENGTH, "x: a\rcontent-length: 50") + b"hello",
    "a line without a colon": head(LENGTH, "nonsense") + b"hello",
    "a header without a name": head(LENGTH, ": x") + b"hello",
    "a chunk size of nothing": chunked("\r\nhello\r\n"),
    "a negative chunk": chunked("-5\r\nhello\r\n"),
    "a chunk with 0x": chunked("0x5\r\nhello\r\n"),
    "a huge chunk": chunked("f" * 30 + "\r\nhello\r\n"),
    "a chunk of 64 bits and more": chunked("10000000000000005\r\nhello\r\n"),
    "a chunk that is too long": chunked("5\r\nhello!\r\n"),
    "a chunk size with a sign": chunked("+5\r\nhello\r\n"),
    "a chunk size that is a word": chunked("five\r\nhello\r\n"),
    "a chunk without a line's end": chunked("5\r\nhelloXX"),
    "a version of two digits": head(LENGTH, version="1.10") + b"hello",
    "another protocol": head(LENGTH).replace(b"HTTP/", b"ICAP/") + b"hello",
    "a status of two digits": head(LENGTH, status="20 OK") + b"hello",
    "a status of four digits": head(LENGTH, status="2000 OK") + b"hello",
    "no status": head(LENGTH, status="OK") + b"hello",
    "no version": b"200 OK\r\ncontent-length: 5\r\n\r\nhello",
}
DOUBTFUL = {
    "version 2.0": head(LENGTH, version="2.0") + b"hello",
    "version 0.9": head(LENGTH, version="0.9") + b"hello",
    "version 1.2": head(LENGTH, version="1.2") + b"hello",
    "a length twice": head(LENGTH, LENGTH) + b"hello",
    "a length twice in one line": head("content-length: 5, 5") + b"hello",
    "a length and chunks": head(LENGTH, "transfer-encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunks and a length": head("transfer-encoding: chunked", "content-length: 3") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked twice": head("transfer-encoding: chunked", "transfer-encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked and more": head("transfer-encoding: chunked, identity") + b"5\r\nhello\r\n0\r\n\r\n",
    "gzip, chunked": head("transfer-encoding: gzip, chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "xchunked": head("transfer-encoding: xchunked", LENGTH) + b"5\r\nhello\r\n0\r\n\r\n",
    "identity": head("transfer-encoding: identity", LENGTH) + b"hello",
    "chunked in quotes": head('transfer-encoding: "chunked"', LENGTH) + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked behind a tab": head("transfer-encoding:\tchunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked behind a vertical tab": head("transfer-encoding: \x0bchunked", LENGTH) + b"5\r\nhello\r\n0\r\n\r\n",
    "chunks of 1.0": head("transfer-encoding: chunked", version="1.0") + b"5\r\nhello\r\n0\r\n\r\n",
    "a folded header": head(LENGTH, "x: a", " b") + b"hello",
    "a folded length": head("content-length:", " 5") + b"hello",
    "a header that begins with a space": head(" content-length: 50", LENGTH) + b"hello",
    "a line feed alone": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
    "a line feed alone before a length": head("x: a\ncontent-length: 5") + b"hello",
    "a line feed alone in chunks": head("transfer-encoding: chunked") + b"5\nhello\n0\n\n",
    "a chunk size with a space": chunked("5 \r\nhello\r\n"),
    "a chunk's extension with a line feed": chunked("5;a\nhello\r\n0\r\n\r\n5\r\nhello\r\n"),
    "an empty line before": b"\r\n" + head(LENGTH) + b"hello",
    "many empty lines before": b"\r\n" * 50 + head(LENGTH) + b"hello",
    "a length for 204": head(LENGTH, status="204 No Content") + b"hello",
    "chunks for 204": head("transfer-encoding: chunked", status="204 No Content") + b"5\r\nhello\r\n0\r\n\r\n",
    "a length for 304": head(LENGTH, status="304 Not Modified") + b"hello",
    "a length for 100": head(LENGTH, status="100 Continue") + b"hello" + head(LENGTH) + b"hello",
    "101": head("upgrade: x", "connection: upgrade", status="101 Switching Protocols") + b"x",
    "an upgrade that nobody asked for": head("upgrade: h2c", "connection: upgrade", LENGTH) + b"hello",
    "a trailer with a length": chunked("5\r\nhello\r\n", end="0\r\ncontent-length: 50\r\n\r\n"),
    "one byte more": head(LENGTH) + b"hello!",
    "a line's end more": head(LENGTH) + b"hello\r\n",
    "a body for no length": head("content-length: 0") + b"hello",
}
FINE = {
    "with a length": head(LENGTH) + b"hello",
    "in chunks": chunked("5\r\nhello\r\n"),
    "without a body": head(status="204 No Content"),
}
BAD = {
    **REFUSED,
    **DOUBTFUL,
    **{f"{name}, and another answer": reply + SECOND for name, reply in {**FINE, **DOUBTFUL}.items()},
    **{f"{name}, and half of another answer": reply + SECOND[:30] for name, reply in FINE.items()},
}
CUTS = {
    "at once": lambda reply: [reply],
    "byte by byte": lambda reply: [reply[at : at + 1] for at in range(len(reply))],
    "behind the head": lambda reply: [reply[: reply.find(b"\r\n\r\n") + 4], reply[reply.find(b"\r\n\r\n") + 4 :]],
    "before the second": lambda reply: [reply[: reply.find(SECOND[:30])], reply[reply.find(SECOND[:30]) :]],
}


# Where our parser and httpx's are of two minds. RFC 9112 leaves a receiver free to refuse what only we refuse (6.3 the
# lengths, 5.2 folded lines, 2.2 line feeds alone, 6.5.1 trailers), and to pass over empty lines before an answer (2.2).
ONLY_WE_REFUSE = {
    "version 1.2",
    "a length twice",
    "a length twice in one line",
    "a length and chunks",
    "chunks and a length",
    "a folded header",
    "a folded length",
    "a line feed alone",
    "a line feed alone before a length",
    "a chunk size with a space",
    "a trailer with a length",
}
ONLY_HTTPX_REFUSES = {"an empty line before", "many empty lines before", "chunked twice"}


Way = Callable[..., Awaitable[Outcome]]


async def tried(name: str, cut: str, transport: FastTransport, way: Way) -> tuple[Outcome, list[Outcome]]:
    """What comes of a request with a bad answer, and of those that follow it."""

    def script(request: Request, line: Line) -> None:
        path = request.line.split()[1]
        if path == "/1":
            line.say(*CUTS[cut](BAD[name]))
        else:
            line.say(answer(path.encode(), "200 OK", f"x: {path}"))

    wire().script = script
    first = await way(transport, f"{ORIGIN}/1", timeout={"read": 1.0})
    await until(lambda: not any(line.waiting for line in wire().open))  # what comes later is a later answer's
    return first, [await way(transport, f"{ORIGIN}/{number}") for number in (2, 3, 4)]


@pytest.mark.parametrize("way", [ask, post])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", BAD)
def test_no_answer_is_taken_for_another(name: str, cut: str, way: Way) -> None:
    async def scenario() -> None:
        async with fast(limits=httpx.Limits(max_connections=1)) as transport:
            first, others = await tried(name, cut, transport, way)
            assert transport.stats().connections == 1
        assert first.body in {b"", b"hello"} or name in DOUBTFUL
        assert b"smuggled" not in dict(first.headers).values()
        assert first.error in {"", "RemoteProtocolError", "ReadTimeout"}
        if name in REFUSED:
            assert first.error == "RemoteProtocolError", first
        for number, own in enumerate(others, 2):
            assert own.body == dict(own.headers)[b"x"] == b"/%d" % number
        if name not in DOUBTFUL:
            assert wire().requests[1].connection == 2

    virtually(scenario(), WireLoop)


def test_an_answer_that_is_taken_for_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    hoard(monkeypatch)
    with pytest.raises(AssertionError):
        test_no_answer_is_taken_for_another("with a length, and another answer", "before the second", ask)


@pytest.mark.asyncio
async def test_what_httpx_refuses_is_refused() -> None:
    """Its parser, h11, is the second opinion; where the two differ, the tables above say so."""
    taken_by: dict[str, set[str]] = {}
    for kind, make in TRANSPORTS.items():
        taken_by[kind] = set()
        for name, reply in {**REFUSED, **DOUBTFUL}.items():
            server = Server(ends_with(reply))
            async with server.serving(), make() as transport:
                outcome = await ask(transport, f"http://127.0.0.1:{server.port}/")
            if outcome.error != "RemoteProtocolError":
                taken_by[kind].add(name)
    assert taken_by["httpx"] - taken_by["wire"] == ONLY_WE_REFUSE
    assert taken_by["wire"] - taken_by["httpx"] == ONLY_HTTPX_REFUSES
