"""What others put between a request and the network: mocks, tracers, extensions. The transport lets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpcore
import httpx
import pytest
import respx
from wire_kit import TRANSPORTS, fast
from wire_server import IMPORT_TOKEN, SUCCESS, Server, client_of

from dfinery_async import DfineryClient

URL = "http://127.0.0.1:1/api"  # nobody listens there


async def by_httpx(url: str) -> int:
    async with httpx.AsyncClient(transport=fast()) as client:
        return (await client.post(url, json={})).status_code


async def by_the_client(url: str) -> int:
    async with DfineryClient("svc", import_token=IMPORT_TOKEN, base_url=url) as client:
        await client.send_events("u", "e")
    return 200


WAYS: dict[str, Callable[[str], Awaitable[int]]] = {"httpx": by_httpx, "client": by_the_client}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.mark.parametrize(
    ("way", "using"),
    # What respx patches as "httpx" is `httpx.AsyncClient`, which our client does without.
    [(by_httpx, "httpcore"), (by_httpx, "httpx"), (by_the_client, "httpcore")],
)
@pytest.mark.asyncio
async def test_respx_is_gone_through(way: Callable[[str], Awaitable[int]], using: str) -> None:
    with respx.mock(using=using) as router:
        route = router.post(url__startswith="http://127.0.0.1:1/").respond(200, content=SUCCESS)
        assert await way(URL) == 200
        assert route.call_count == 1


@pytest.mark.asyncio
async def test_respx_comes_and_goes_while_a_client_lives() -> None:
    server = Server()
    async with server.serving(), client_of(server) as client, httpx.AsyncClient(transport=fast()) as other:
        url = f"http://127.0.0.1:{server.port}/"
        for number in range(1, 4):
            await client.send_events("u", "e")
            await other.get(url)
            assert len(server.requests) == 2 * number
            with respx.mock() as router:
                route = router.route(host="127.0.0.1").respond(200, content=SUCCESS)
                await client.send_events("u", "e")
                await other.get(url)
                assert route.call_count == 2
            assert len(server.requests) == 2 * number


@ways
@pytest.mark.asyncio
async def test_a_patched_pool_is_gone_through(
    way: Callable[[str], Awaitable[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    real = httpcore.AsyncConnectionPool.handle_async_request

    async def traced(self: Any, request: httpcore.Request) -> httpcore.Response:
        seen.append(request.method)
        return await real(self, request)

    server = Server()
    async with server.serving():
        url = f"http://127.0.0.1:{server.port}"
        assert await way(url) == 200
        assert seen == []
        monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", traced)
        assert await way(url) == 200
        assert seen == [b"POST"]
        monkeypatch.undo()
        assert await way(url) == 200
        assert seen == [b"POST"]
    assert len(server.requests) == 3
    assert server.open == 0


@pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS.keys())
@pytest.mark.asyncio
async def test_an_extension_traces(make: Callable[[], httpx.AsyncBaseTransport]) -> None:
    seen: list[str] = []

    async def trace(name: str, info: dict[str, Any]) -> None:
        seen.append(name)

    server = Server()
    async with server.serving(), httpx.AsyncClient(transport=make()) as client:
        await client.get(f"http://127.0.0.1:{server.port}/", extensions={"trace": trace})
    assert "http11.send_request_headers.started" in seen


@pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS.keys())
@pytest.mark.asyncio
async def test_an_answer_tells_of_its_network(make: Callable[[], httpx.AsyncBaseTransport]) -> None:
    server = Server()
    async with server.serving(), make() as transport:
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/")
        response = await transport.handle_async_request(request)
        network = response.extensions["network_stream"]
        assert network.get_extra_info("server_addr") == ("127.0.0.1", server.port)
        assert network.get_extra_info("client_addr")[0] == "127.0.0.1"
        assert network.get_extra_info("ssl_object") is None
        await response.aclose()
