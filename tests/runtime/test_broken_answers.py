"""Answers over loopback that drip, break off, never end or were not asked for: none is taken for another."""

from __future__ import annotations

import asyncio
import functools
import gzip
from contextlib import suppress

import pytest
from export_bench import until
from wire_server import SUCCESS, Request, Server, answer, client_of, ends_with

from dfinery_async import ConnectionFailed, TimeoutConfig, UnexpectedResponse


async def drip(request: Request, writer: asyncio.StreamWriter, head: bytes) -> None:
    """One byte at a time, each soon enough for the deadline of a read."""
    writer.write(head)
    for byte in b" " * 500:
        writer.write(b"%c" % byte)
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nx:", b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"], ids=["head", "body"]
)
async def test_dripping_answers_end_at_the_total_deadline(head: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = Server(functools.partial(drip, head=head))
    async with server.serving(), client_of(server, timeouts=TimeoutConfig(read=5.0, total=0.2)) as client:
        began = loop.time()
        with pytest.raises(ConnectionFailed) as caught:
            await client.send_events("u", "e")
        assert 0.2 <= loop.time() - began < 4.0
        assert caught.value.ambiguous
        assert "CANARY" not in str(caught.value)
        await server.closed.wait()  # a connection with half an answer is not used again


BROKEN = {
    "nothing": b"",
    "half a status line": b"HTTP/1.",
    "no status line": b"220 mail.example.com ESMTP\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "half a head": answer()[:30],
    "a length that is too long": answer().replace(b"length: 5", b"length: 9"),
    "a length that is no number": answer().replace(b"length: 5", b"length: x"),
    "two lengths": answer(SUCCESS, "200 OK", "content-length: 3"),
    "a chunk without a size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + SUCCESS,
    "chunks without an end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n39\r\n" + SUCCESS,
    "an endless head": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000,
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", BROKEN)
async def test_broken_answers_are_no_answers(name: str) -> None:
    server = Server(ends_with(BROKEN[name]))
    async with server.serving(), client_of(server) as client:
        for _ in range(3):
            with pytest.raises(ConnectionFailed) as caught:
                await client.send_events("u", "e")
            assert caught.value.ambiguous
        await until(lambda: client._transport.taken == 0)
    assert len(server.requests) == server.connections >= 3


@pytest.mark.asyncio
async def test_half_a_success_is_none() -> None:
    server = Server(answer().replace(b"length: 57", b"length: 20"))
    async with server.serving(), client_of(server) as client:
        for _ in range(3):
            with pytest.raises((UnexpectedResponse, ConnectionFailed)):
                await client.send_events("u", "e")


@pytest.mark.asyncio
async def test_an_answer_that_nobody_asked_for_belongs_to_no_request() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(answer() + answer(SUCCESS, "500 Oh"))
        else:
            writer.write(answer())

    server = Server(script)
    async with server.serving(), client_of(server) as client:
        for _ in range(3):
            await client.send_events("u", "e")
    assert len(server.requests) == 3


@pytest.mark.asyncio
async def test_news_before_an_answer_is_passed_over() -> None:
    server = Server(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answer())
    async with server.serving(), client_of(server) as client:
        await client.send_events("u", "e")
        await client.send_events("u", "e")
    assert server.connections == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reply",
    [answer(b" " * 3_000_000), answer(gzip.compress(SUCCESS), "200 OK", "content-encoding: br")],
    ids=["long", "compressed"],
)
async def test_an_answer_that_is_not_the_apis_is_read_no_further(reply: bytes) -> None:
    server = Server(reply)
    async with server.serving(), client_of(server) as client:
        for _ in range(3):
            with pytest.raises(UnexpectedResponse):
                await client.send_events("u", "e")
        await until(lambda: client._transport.taken == 0)
