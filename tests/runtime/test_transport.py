"""The real transport over loopback: connections, TLS, where tokens go, and what stands in for it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import ssl
import sys
from typing import Any

import httpx
import pytest
import respx
import trustme
from cancel_kit import WAYS
from export_bench import until
from far_end import acquainted, go_by_httpx
from wire_server import IMPORT_TOKEN, SUCCESS, Gate, Request, Server, answer, client_of, ends_with, server_context

from dfinery_async import (
    ConfigError,
    ConnectionConfig,
    ConnectionFailed,
    DfineryClient,
    DfineryError,
    RetryConfig,
    UnexpectedResponse,
)


async def send(client: DfineryClient, number: int) -> list[BaseException | None]:
    return await asyncio.gather(
        *(client.send_events(f"u{each}", "e") for each in range(number)), return_exceptions=True
    )


@pytest.mark.asyncio
async def test_a_request_is_http_1_1_with_the_token_and_nothing_to_compress() -> None:
    async with Server().serving() as server, client_of(server) as client:
        await client.send_events("u", "e")
    [request] = server.requests
    assert request.line == "POST /api/v1/events?service_id=svc HTTP/1.1"
    assert request.headers.keys() == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "access_token",
        "content-length",
    }
    assert request.headers["access_token"] == IMPORT_TOKEN
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.asyncio
async def test_a_call_without_retries_needs_no_time_to_spare() -> None:
    async with Server().serving() as server, client_of(server, retry=RetryConfig(total=0)) as client:
        await client.send_events("u", "e")


@pytest.mark.asyncio
async def test_one_connection_serves_calls_that_come_one_by_one() -> None:
    async with Server().serving() as server, client_of(server) as client:
        for _ in range(20):
            await client.send_events("u", "e")
        await client.update_profile("u", {"a": 1})
    assert len(server.requests) == 21
    assert server.connections == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(("connections", "calls"), [(3, 9), (8, 24), (20, 60)])
async def test_requests_in_the_air_are_as_many_as_connections(connections: int, calls: int) -> None:
    server = Server(Gate(connections))
    settings = ConnectionConfig(max_connections=connections)
    async with server.serving(), client_of(server, connections=settings) as client:
        acquainted(client)
        assert await send(client, calls) == [None] * calls
    assert server.most_in_air == connections
    assert server.connections == connections
    assert len(server.requests) == calls
    assert server.open == 0


@pytest.mark.asyncio
async def test_a_producer_keeps_within_the_connections_too() -> None:
    server = Server(Gate(10))
    async with server.serving(), client_of(server, connections=ConnectionConfig(max_connections=10)) as client:
        acquainted(client)
        async with client.producer() as producer:
            for number in range(200):
                await producer.track(f"u{number}", "e")
        assert producer.stats().delivered == 200
    assert (server.most_in_air, server.connections) == (10, 10)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with Server().serving() as elsewhere:
        location = f"location: http://127.0.0.1:{elsewhere.port}/api/v1/events"
        server = Server(answer(b"", f"{status} Moved", location))
        async with server.serving(), client_of(server) as client:
            with pytest.raises(UnexpectedResponse):
                await client.send_events("u", "e")
            with pytest.raises(DfineryError):
                await client.export_profiles().__aenter__()
            producer = client.producer()
            await producer.track("u", "e")
            assert (await producer.aclose(timeout=0.05)).dropped == 1
        assert len(server.requests) >= 3
    assert elsewhere.connections == 0


@pytest.mark.parametrize("address", ["http://openapi.dfinery.ai", "http://10.0.0.1", "http://127.0.0.1.example.com"])
def test_plain_http_is_for_loopback_alone(address: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        DfineryClient("svc", base_url=address)
    for loopback in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        DfineryClient("svc", base_url=loopback)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("certified", "known", "works"),
    [("localhost", True, True), ("example.com", True, False), ("localhost", False, False)],
    ids=["good", "wrong host", "unknown authority"],
)
async def test_certificates_are_checked_before_a_token_is_sent(certified: str, known: bool, works: bool) -> None:
    authority = trustme.CA()
    trusted = ssl.create_default_context()
    if known:
        authority.configure_trust(trusted)
    server = Server()
    settings = ConnectionConfig(verify=trusted)
    context = server_context(authority, certified)
    async with server.serving(context), client_of(server, "https", "localhost", connections=settings) as client:
        if works:
            await client.send_events("u", "e")
        else:
            with pytest.raises(ConnectionFailed) as caught:
                await client.send_events("u", "e")
            assert not caught.value.ambiguous
            assert "CANARY" not in str(caught.value)
    assert len(server.requests) == works
    assert (server.received > 0) is works


@pytest.mark.asyncio
async def test_the_default_trust_knows_no_private_authority() -> None:
    server = Server()
    context = server_context(trustme.CA(), "localhost")
    async with server.serving(context), client_of(server, "https", "localhost") as client:
        with pytest.raises(ConnectionFailed):
            await client.send_events("u", "e")
    assert server.received == 0


@pytest.mark.asyncio
async def test_a_connection_that_the_server_has_closed_harms_no_call() -> None:
    server = Server(ends_with(answer()))
    async with server.serving(), client_of(server) as client:
        for number in range(1, 6):
            await client.send_events("u", "e")
            await until(lambda number=number: server.connections == number and server.open == 0)
    assert len(server.requests) == 5


@pytest.mark.asyncio
async def test_nobody_listens() -> None:
    async with Server().serving() as server:
        pass
    async with client_of(server) as client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.send_events("u", "e")
    assert not caught.value.ambiguous


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.asyncio
async def test_a_pool_that_has_lost_its_slots_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfinery_async.runtime.transport._POOL_TIMEOUT", 0.05)
    go_by_httpx(monkeypatch)
    server = Server()
    settings: dict[str, Any] = {"connections": ConnectionConfig(max_connections=2), "retry": RetryConfig(total=10.0)}
    async with server.serving(), client_of(server, **settings) as client:
        await client.send_events("u", "e")
        [shard] = client._transport._httpx()._shards
        lost = shard.pool
        for _ in range(2):
            await lose_a_slot(lost, server)
        assert await send(client, 4) == [None] * 4
        assert shard.pool is not lost
        renewed = shard.pool
        assert await send(client, 20) == [None] * 20
        assert shard.pool is renewed
    assert server.open == 0
    gc.collect()  # what was lost on purpose may stay open until here, and say so here


async def lose_a_slot(pool: Any, server: Server) -> None:
    """Cancel requests in a pool as no caller of ours can, until one takes its slot with it."""
    before = len(busy(pool))
    for point in itertools.cycle(range(1, 12)):
        request = httpx.Request("POST", f"http://127.0.0.1:{server.port}/", content=b"")
        await WAYS["task"](read(pool, request), point)
        if len(busy(pool)) > before:
            return


async def read(pool: Any, request: httpx.Request) -> None:
    response = await pool.handle_async_request(request)
    await response.aread()
    await response.aclose()


def busy(pool: Any) -> list[Any]:
    return [each for each in pool._pool.connections if not (each.is_idle() or each.is_closed())]


class Custom(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self.calls = 0
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return httpx.Response(200, content=SUCCESS)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.asyncio
async def test_a_transport_of_ones_own_is_used_and_closed() -> None:
    custom = Custom()
    async with DfineryClient("svc", import_token=IMPORT_TOKEN, transport=custom) as client:
        await client.send_events("u", "e")
        assert custom.closed == 0
    assert (custom.calls, custom.closed) == (1, 1)


@pytest.mark.asyncio
@respx.mock
async def test_respx_stands_in_for_the_network() -> None:
    route = respx.post("https://openapi.dfinery.ai/api/v1/events", params={"service_id": "svc"})
    route.respond(200, content=SUCCESS)
    async with DfineryClient("svc", import_token=IMPORT_TOKEN) as client:
        await client.send_events("u", "df_login")
        async with client.producer() as producer:
            assert (await (await producer.track("u", "df_login"))).status == "delivered"
    assert route.call_count == 2
    assert route.calls[0].request.headers["access_token"] == IMPORT_TOKEN


@pytest.mark.asyncio
async def test_a_router_of_respx_stands_in_as_a_transport() -> None:
    router = respx.MockRouter(base_url="https://openapi.dfinery.ai")
    route = router.post("/api/v1/user-profile").respond(200, content=SUCCESS)
    transport = httpx.MockTransport(router.async_handler)
    async with DfineryClient("svc", import_token=IMPORT_TOKEN, transport=transport) as client:
        await client.update_profile("u", {"df_gender": "Female"})
    assert route.called


def test_http2_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(ConfigError, match=r"pip install .*http2"):
        DfineryClient("svc", http2=True)


@pytest.mark.asyncio
async def test_variables_of_the_environment_choose_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server().serving() as proxy, Server().serving() as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with client_of(server) as client:
            await client.send_events("u", "e")
        assert len(server.requests) == 1
        assert proxy.connections == 0
        settings = ConnectionConfig(proxy=f"http://127.0.0.1:{proxy.port}")
        async with client_of(server, connections=settings) as client:
            await client.send_events("u", "e")
        assert len(server.requests) == 1
        assert proxy.requests[0].line.startswith(f"POST http://127.0.0.1:{server.port}/api/v1/events?")


async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
    """Rows without an end."""
    if "export" not in request.line:
        writer.write(answer())
        return
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\na,b\n1,2\n\r\n")
    while not writer.is_closing():
        writer.write(b"4000\r\n" + b"1,2\n" * 4096 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_leaving_an_export_early_gives_its_connection_back() -> None:
    server = Server(endless)
    settings = ConnectionConfig(max_connections=1)
    async with server.serving(), client_of(server, connections=settings) as client:
        for rows in (0, 1, 1000):
            async with client.export_profiles() as export:
                if rows:
                    taken = 0
                    async for _ in export:
                        taken += 1
                        if taken == rows:
                            break
            await until(lambda: client._transport.taken == 0)
            await client.send_events("u", "e")
    assert len(server.requests) == 6
    assert server.open == 0
