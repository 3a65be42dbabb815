"""The books of a shared quota in a real Redis, and clients that outlive it."""

from __future__ import annotations

import asyncio
import json
import pickle
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dfinery_async import ConfigError, DfineryClient
from dfinery_async.config import Family
from dfinery_async.runtime.lending import Away, Lease, Leases, Told

pytest.importorskip("redis", reason="redis-py is not installed")

from redis_kit import SERVERS, RedisServer

from dfinery_async.integrations.redis import RedisQuota

pytestmark = pytest.mark.skipif(not SERVERS, reason="no Redis here: apt-get install redis-server")

PERIOD = 3600.0
LIMIT = 1200


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), request.param) as running:
        yield running


class Books:
    """Opens the books of clients, and closes them all."""

    def __init__(self, quota: RedisQuota) -> None:
        self._quota = quota
        self._opened: list[Leases] = []

    def open(self, service_id: str = "svc", family: Family = "events") -> Leases:
        self._opened.append(self._quota.open(service_id, family))
        return self._opened[-1]

    async def close(self) -> None:
        for leases in self._opened:
            await leases.leave(None)


@pytest_asyncio.fixture
async def books(server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    opened = Books(RedisQuota(url=server.url, prefix=request.node.name, timeout=10.0))
    yield opened
    await opened.close()


def told(**what: Any) -> Told:
    known: dict[str, Any] = {"unused": 0, "answered": 0, "limit": LIMIT, "period": PERIOD, "span": PERIOD}
    return Told(**{**known, **what})


@pytest.mark.asyncio
async def test_no_more_is_lent_than_there_is(books: Books) -> None:
    lent = [(await books.open().ask(told(limit=50))).calls for _ in range(60)]

    assert lent == [1] * 48 + [0] * 12  # less a reserve of one and a five-hundredth


@pytest.mark.asyncio
async def test_all_who_ask_have_as_much_each(books: Books) -> None:
    several = [books.open() for _ in range(4)]
    for leases in several:
        await leases.ask(told(remaining=LIMIT - 1, heard=1, reset_in=PERIOD, dated=True))
    later = [await books.open().ask(told()) for _ in range(4)]

    assert {lease.clients for lease in later} == {5, 6, 7, 8}
    paces = [lease.calls / lease.seconds for lease in later]
    for lease, pace in zip(later, paces, strict=True):
        assert pace == pytest.approx(LIMIT / PERIOD / lease.clients, rel=0.1)


@pytest.mark.asyncio
async def test_families_and_services_have_books_of_their_own(books: Books) -> None:
    one = await books.open().ask(told())
    two = await books.open(family="identities").ask(told())
    three = await books.open("other").ask(told())

    assert [lease.clients for lease in (one, two, three)] == [1, 1, 1]


@pytest.mark.asyncio
async def test_who_leaves_gives_back_what_is_left(books: Books) -> None:
    first, second = books.open(), books.open()
    assert (await first.ask(told(limit=1))).calls == 1
    assert (await second.ask(told(limit=1))).calls == 0
    await first.leave(told(limit=1, unused=1))

    assert (await second.ask(told(limit=1))).calls == 1


@pytest.mark.asyncio
async def test_a_redis_that_is_not_there_is_away(tmp_path: Path) -> None:
    leases = RedisQuota(url=f"unix://{tmp_path}/none.sock").open("svc", "events")

    with pytest.raises(Away):
        await leases.ask(told())
    await leases.leave(told())  # nothing raises


def accepts(request: httpx.Request) -> httpx.Response:
    headers = {"x-ratelimit-limit": "1m", "x-ratelimit-remaining": "100000", "x-ratelimit-reset": "4000000000"}
    return httpx.Response(200, headers=headers, json={"status": True, "code": "20000", "message": "", "data": None})


def client_of(url: str) -> DfineryClient:
    share = RedisQuota(url=url, timeout=2.0)
    return DfineryClient("svc", import_token="t", transport=httpx.MockTransport(accepts), quota_share=share)


@pytest.mark.asyncio
@pytest.mark.parametrize("program", SERVERS)
async def test_a_client_goes_on_without_redis_and_comes_back_to_it(program: str) -> None:
    async def calls_until(client: DfineryClient, *, leased: bool) -> None:
        lender = client._gateway.pacers["events"]._lender
        assert lender is not None
        async with asyncio.timeout(40):
            while lender.active is not leased:
                await client.send_events("u", "e")

    with tempfile.TemporaryDirectory() as folder:
        running = RedisServer(Path(folder), program)
        async with client_of(running.url) as client:
            await calls_until(client, leased=False)
            running.start()
            await calls_until(client, leased=True)
            running.stop()
            await calls_until(client, leased=False)
            running.start()
            await calls_until(client, leased=True)
        running.stop()


@pytest.mark.asyncio
async def test_a_client_may_close_during_its_first_call_to_redis(tmp_path: Path) -> None:
    called, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        while await reader.read(1024):
            pass
        writer.close()
        gone.set()

    async with await asyncio.start_unix_server(silent, tmp_path / "redis.sock"):
        share = RedisQuota(url=f"unix://{tmp_path}/redis.sock", timeout=59.0)
        client = DfineryClient("svc", import_token="t", transport=httpx.MockTransport(accepts), quota_share=share)
        await client.send_events("u", "e")  # by the headers, as long as there is no lease
        await called.wait()
        async with asyncio.timeout(30):
            await client.aclose()
            await gone.wait()  # the connection does not outlive the client
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("dfinery:")] == []


def test_the_setting_can_be_pickled_and_shows_no_password() -> None:
    quota = RedisQuota(url="redis://:secret@localhost:6379/0")

    assert pickle.loads(pickle.dumps(quota)) == quota  # noqa: S301 - our own
    assert "secret" not in repr(quota)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"url": "http://x"}, "url"), ({"url": "localhost"}, "url"), ({"url": "redis://x", "timeout": 0}, "timeout")],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        RedisQuota(**options)
    assert json.dumps(options["url"]) not in str(caught.value)


def test_a_lease_without_calls_says_when_to_ask_again() -> None:
    assert Lease(calls=0, seconds=1.0, ends_in=0.0).clients == 1
