"""The same requests and answers over httpx's own transport and over ours: what differs is written down here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
from wire_cases import ANSWERS, REQUESTS, Case
from wire_kit import TRANSPORTS, Outcome, ask
from wire_server import Request, Server, answer

CASES = {**{f"request: {name}": case for name, case in REQUESTS.items()}, **ANSWERS}


class Played(NamedTuple):
    """What a case came to, and what the server saw of it."""

    outcome: Outcome
    requests: list[bytes]
    sent: bool
    kept: bool


async def played(case: Case, transport: str, host: str = "127.0.0.1") -> Played:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if " /again " in request.line:
            writer.write(answer(b"again"))
            return
        writer.write(case.reply)
        if case.closes:
            writer.close()

    server = Server(script)
    options = case.options()
    path, user = options.pop("path", "/"), options.pop("user", "")
    shown = f"[{host}]" if ":" in host else host
    async with server.serving(host=host):
        base = f"http://{user}{shown}:{server.port}"
        async with TRANSPORTS[transport]() as made:
            outcome = await ask(made, base + path, **options)
            again = await ask(made, base + "/again")
            assert again.body == b"again", again
    *first, last = server.requests
    if outcome.error == "LocalProtocolError":
        first = []  # whether all of it was on its way before the fault was seen is a matter of luck
    requests = [request.raw.replace(b":%d" % server.port, b":PORT") for request in (*first, last)]
    kept = bool(first) and last.connection == 1
    return Played(outcome, requests, sent=server.received > len(last.raw), kept=kept)


def refused(played: Played) -> Played:
    return Played(Outcome(error="LocalProtocolError"), played.requests[-1:], sent=False, kept=False)


def answered(played: Played, **changes: Any) -> Played:
    return played._replace(outcome=played.outcome._replace(**changes))


# What differs, and why that is no fault.
DIFFERENCES: dict[str, Callable[[Played], Played]] = {
    # httpx shows what its parser makes of this one header, not what was sent.
    "Chunked in odd letters": lambda played: answered(played, headers=((b"Transfer-Encoding", b"ChUnKeD"),)),
    # Whoever reads a request with two framings may read it in two ways; httpx sends such ones.
    "request: a length and chunks": refused,
    "request: a length twice": refused,
    # llhttp, as httptools has it, cannot be told beforehand that an answer has no body.
    **{name: lambda played: played._replace(kept=False) for name in ("head", "head, chunked", "head without a length")},
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", CASES)
async def test_a_request_comes_to_the_same(name: str) -> None:
    case = CASES[name]
    seen = {transport: await played(case, transport) for transport in TRANSPORTS}
    theirs = seen["httpx"]
    assert (theirs.outcome.error or theirs.outcome.status, theirs.kept) == (case.gives, case.kept)
    if name in DIFFERENCES:
        assert seen["wire"] != theirs, "there is no such difference any longer"
        theirs = DIFFERENCES[name](theirs)
    assert seen["wire"] == theirs


@pytest.mark.asyncio
async def test_an_address_of_ipv6_is_the_same() -> None:
    seen = [await played(Case(), transport, host="::1") for transport in TRANSPORTS]
    assert seen[0] == seen[1]
    assert b"\r\nHost: [::1]:PORT\r\n" in seen[0].requests[0]


@pytest.mark.asyncio
async def test_the_comparison_sees_a_difference() -> None:
    """The control: a transport that changes one thing is told from httpx's own."""

    class Meddling(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "x" in request.headers:
                request.headers["x"] = request.headers["x"].upper()
            response = await super().handle_async_request(request)
            response.headers["via"] = "us"
            return response

    case = Case({"headers": {"x": "a"}})
    good = await played(case, "httpx")
    TRANSPORTS["meddling"] = Meddling
    try:
        bad = await played(case, "meddling")
    finally:
        del TRANSPORTS["meddling"]
    assert good.outcome._replace(headers=()) == bad.outcome._replace(headers=())
    assert good.outcome != bad.outcome
    assert good.requests != bad.requests


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://127.0.0.1/", "UnsupportedProtocol"),
        ("127.0.0.1/", "UnsupportedProtocol"),
        ("//127.0.0.1/", "UnsupportedProtocol"),
        ("http:///x", "ConnectError"),
        ("http://name.invalid/", "ConnectError"),
        ("http://%6eame.invalid/", "ConnectError"),
        ("http://" + "x" * 64 + ".invalid/", "ConnectError"),
        ("http://" + "x." * 150 + "invalid/", "ConnectError"),
        ("http://x..invalid/", "ConnectError"),
        ("http://127.0.0.1:1/", "ConnectError"),
        ("https://127.0.0.1:1/", "ConnectError"),
    ],
)
async def test_addresses_that_lead_nowhere(url: str, error: str) -> None:
    for make in TRANSPORTS.values():
        async with make() as transport:
            assert (await ask(transport, url)).error == error


# Through httpx.AsyncClient, which puts its own things around a transport.


async def talked(transport: httpx.AsyncBaseTransport) -> list[Any]:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        path = request.line.split()[1]
        if path == "/moved":
            writer.write(b"HTTP/1.1 302 Found\r\nlocation: /there\r\nset-cookie: a=1\r\ncontent-length: 0\r\n\r\n")
        elif path == "/zipped":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nnot")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n5\r\na\nb\nc\r\n0\r\n\r\n")

    server = Server(script)
    seen: list[Any] = []
    async with server.serving(), httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        base = f"http://127.0.0.1:{server.port}"
        moved = await client.post(base + "/moved", json={"a": 1}, auth=("me", "secret"))
        seen += [moved.status_code, moved.text, moved.headers["x"], [each.status_code for each in moved.history]]
        with pytest.raises(httpx.DecodingError):
            await client.get(base + "/zipped")
        async with client.stream("GET", base + "/lines") as lines:
            seen += [lines.http_version, lines.reason_phrase, [line async for line in lines.aiter_lines()]]
        async with client.stream("GET", base + "/left"):
            pass
        again = await client.get(base + "/again")
        seen += [again.content, again.http_version, again.elapsed.total_seconds() > 0, repr(again)]
    told = [re.sub(rb":\d+", b":PORT", request.raw) for request in server.requests]
    return [*seen, *told, server.open]


@pytest.mark.asyncio
async def test_a_client_of_httpx_notices_no_difference() -> None:
    ours = await talked(TRANSPORTS["wire"]())
    assert ours == await talked(TRANSPORTS["httpx"]())
    assert ours[:4] == [200, "a\nb\nc", "y", [302]]
