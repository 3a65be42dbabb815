"""A look at the API: how far the way goes, what the answer says, and that nothing is created."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import ssl
from typing import Any

import httpx
import pytest
import trustme
from wire_server import EXPORT_TOKEN, IMPORT_TOKEN, Server, answer, client_of, server_context

from dfinery_async import (
    BadRequest,
    ConfigError,
    ConnectionConfig,
    ConnectionFailed,
    DfineryClient,
    InvalidServiceId,
    InvalidToken,
    RateLimited,
    ServerError,
    TimeoutConfig,
    UnexpectedResponse,
    ValidationFailure,
)
from dfinery_async.emulator import Emulator, Fault
from dfinery_async.runtime import clock

NOON = 1741003200
REFUSED = b'{"status":false,"code":"40001","message":"VALIDATION_FAILURE","data":true}'


def emulated(emulator: Emulator, **settings: Any) -> DfineryClient:
    return DfineryClient(
        **{
            "service_id": emulator.service_id,
            "import_token": emulator.import_token,
            "export_token": emulator.export_token,
            "base_url": emulator.base_url,
            **settings,
        }
    )


@pytest.mark.asyncio
async def test_a_look_finds_the_way_and_changes_nothing() -> None:
    async with Emulator() as emulator, emulated(emulator) as client:
        probe = await client.probe()
        export = await client.probe("export")

        assert (emulator.events, list(emulator.profiles)) == ([], [])
        assert [request.body for request in emulator.requests] == [{"common": {"identity": {}}, "events": []}, {}]
        assert client.quota("events").remaining == 999_999
        assert client.quota("exports").remaining == 99
    assert isinstance(probe.error, ValidationFailure)
    assert isinstance(export.error, BadRequest)
    for each in (probe, export):
        assert (each.addresses, each.tls_seconds, each.certificate, each.trouble, each.skew) == (1, None, None, None, 0)
        assert None not in {each.resolve_seconds, each.connect_seconds, each.answer_seconds}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "fault", "errors"),
    [
        ({"import_token": "x", "export_token": "x"}, None, (InvalidToken, InvalidToken)),
        ({"service_id": "other"}, None, (InvalidServiceId, BadRequest)),
        ({}, Fault("throttle", seconds=900.0), (RateLimited, RateLimited)),
        ({}, Fault("status", status=503), (ServerError, ServerError)),
        ({}, Fault("html"), (UnexpectedResponse, UnexpectedResponse)),
        ({}, Fault("reset"), (ConnectionFailed, ConnectionFailed)),
    ],
)
async def test_a_look_tells_what_the_api_answers(settings: Any, fault: Fault | None, errors: Any) -> None:
    async with Emulator() as emulator, emulated(emulator, **settings) as client:
        if fault is not None:
            emulator.inject(fault)
        for probe, error in zip([await client.probe(), await client.probe("export")], errors, strict=True):
            assert isinstance(probe.error, error)
            if isinstance(probe.error, RateLimited):
                assert probe.error.reset_at is not None
        if isinstance(fault, Fault) and fault.kind == "throttle":
            assert isinstance((await client.probe("export")).error, RateLimited)  # now without a call


@pytest.mark.asyncio
async def test_a_token_that_is_not_set_is_named() -> None:
    async with DfineryClient("svc", import_token="x") as client:
        with pytest.raises(ConfigError, match="export_token"):
            await client.probe("export")


@pytest.mark.asyncio
async def test_a_look_over_tls_tells_of_the_certificate() -> None:
    authority = trustme.CA()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    server = Server(answer(REFUSED))
    settings = ConnectionConfig(verify=trusted)
    context = server_context(authority, "localhost")
    async with server.serving(context), client_of(server, "https", "localhost", connections=settings) as client:
        probe = await client.probe()

    assert isinstance(probe.error, ValidationFailure)
    assert probe.certificate == "localhost"
    assert probe.tls is not None
    assert probe.tls.startswith("TLSv1.")
    assert probe.expires_at is not None
    assert probe.expires_at > dt.datetime.now(dt.UTC)
    assert probe.tls_seconds is not None
    assert probe.skew is None  # the answer had no date
    assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_a_certificate_that_nobody_checks_says_nothing() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    server = Server(answer(REFUSED))
    context = server_context(trustme.CA(), "localhost")
    settings = ConnectionConfig(verify=careless)
    async with server.serving(context), client_of(server, "https", "localhost", connections=settings) as client:
        probe = await client.probe()

    assert (probe.certificate, probe.expires_at) == (None, None)
    assert probe.tls_seconds is not None


@pytest.mark.asyncio
async def test_a_certificate_that_is_not_trusted_ends_the_way_before_a_token_is_sent() -> None:
    server = Server()
    async with (
        server.serving(server_context(trustme.CA(), "localhost")),
        client_of(server, "https", "localhost") as client,
    ):
        probe = await client.probe()

    assert isinstance(probe.error, ConnectionFailed)
    assert "certificate is not trusted" in str(probe.trouble)
    assert (probe.tls_seconds, probe.answer_seconds) == (None, None)
    assert probe.connect_seconds is not None
    assert server.received == 0


@pytest.mark.asyncio
async def test_a_name_that_is_not_known_and_a_port_where_nobody_listens() -> None:
    async with DfineryClient("svc", import_token="x", base_url="https://no.such.name.invalid") as client:
        probe = await client.probe()
    assert (probe.addresses, probe.connect_seconds) == (None, None)
    assert "the name is not known" in str(probe.error)

    server = Server()
    async with server.serving():
        pass
    async with client_of(server) as client:
        probe = await client.probe()
    assert (probe.addresses, probe.connect_seconds) == (1, None)
    assert isinstance(probe.error, ConnectionFailed)


@pytest.mark.asyncio
async def test_a_handshake_that_is_never_answered_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()  # speaks no TLS
    timeouts = TimeoutConfig(connect=0.05)
    async with server.serving(), client_of(server, "https", "localhost", timeouts=timeouts) as client:
        probe = await client.probe()
        assert (probe.tls_seconds, probe.trouble) == (None, "no connection within the time-out")

        async def never(*_args: Any, **_options: Any) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        probe = await client.probe()
        assert probe.trouble == "the name was not resolved within the time-out"


@pytest.mark.asyncio
@pytest.mark.parametrize(("date", "skew"), [(0, 0), (1, -0.5), (-1, 0.5), (-30, 29.5), (30, -29.5), (None, None)])
async def test_the_clocks_are_compared_by_the_date_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, date: int | None, skew: float | None
) -> None:
    """Our clock shows half a second past `NOON`, before as well as after the request."""

    async def reply(request: httpx.Request) -> httpx.Response:
        headers = {} if date is None else {"date": email.utils.formatdate(NOON + date, usegmt=True)}
        return httpx.Response(200, headers=headers, content=REFUSED)

    monkeypatch.setattr(clock, "wall", lambda: NOON + 0.5)
    async with DfineryClient("svc", import_token="x", transport=httpx.MockTransport(reply)) as client:
        probe = await client.probe()

    assert probe.skew == skew
    assert (probe.addresses, probe.trouble) == (None, None)  # another transport's way is not ours to look at


@pytest.mark.asyncio
async def test_an_empty_request_that_is_taken_is_no_error() -> None:
    taken = b'{"status":true,"code":"20000","message":"OK","data":true}'
    served: list[bytes] = []

    class Rows(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for number in range(1000):
                served.append(b"%d" % number)
                yield b"df_unified_id\n"

    async def reply(request: httpx.Request) -> httpx.Response:
        if "export" in request.url.path:
            return httpx.Response(200, stream=Rows())
        return httpx.Response(200, content=taken)

    async with DfineryClient(
        "svc", import_token=IMPORT_TOKEN, export_token=EXPORT_TOKEN, transport=httpx.MockTransport(reply)
    ) as client:
        assert (await client.probe()).error is None
        assert (await client.probe("export")).error is None
    assert len(served) == 1  # an export that began is not read
