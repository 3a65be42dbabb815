"""Transports of the user's own: whatever they raise is told as a fault of the connection, and what they cut is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpcore
import httpx
import pytest
from far_end import client_of, ok, virtually

from dfinery_async import ConfigError, ConnectionFailed, DfineryClient, DfineryError, ExportInterrupted

CSV = b"df_event_name,df_order_id\ndf_purchase,00000001\n"


def client(handler: Callable[[httpx.Request], httpx.Response]) -> DfineryClient:
    return client_of(httpx.MockTransport(handler))


FAULTS: list[BaseException] = [
    httpx.DecodingError("x"),
    httpx.TooManyRedirects("x"),
    httpx.StreamConsumed(),
    httpx.UnsupportedProtocol("x"),
    ValueError("x"),
    EOFError("x"),
    anyio.BrokenResourceError(),
    httpcore.ReadError("x"),
    asyncio.CancelledError(),
]


class Stream(httpx.AsyncByteStream):
    def __init__(self, *script: bytes | BaseException) -> None:
        self.script = script

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.script:
            if isinstance(step, BaseException):
                raise step
            yield step


class SyncStream(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield CSV


def raising(error: BaseException, *, within: bool) -> Callable[[httpx.Request], httpx.Response]:
    def handler(request: httpx.Request) -> httpx.Response:
        if within:
            return httpx.Response(200, stream=Stream(b"x", error))
        raise error

    return handler


@pytest.mark.parametrize("within", [False, True], ids=["before the answer", "within it"])
@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_what_a_transport_raises_is_a_failed_connection(error: BaseException, within: bool) -> None:
    async def scenario() -> None:
        async with client(raising(error, within=within)) as one:
            with pytest.raises(ConnectionFailed, match=type(error).__name__):
                await one.send_events("u", "e")
            with pytest.raises(ExportInterrupted if within else ConnectionFailed, match=type(error).__name__):
                await one.export_profiles().__aenter__()

    virtually(scenario())


def test_a_stream_for_other_loops_is_a_failed_connection() -> None:
    async def scenario() -> None:
        async with client(lambda request: httpx.Response(200, stream=SyncStream())) as one:
            with pytest.raises(ConnectionFailed):
                await one.send_events("u", "e")
            with pytest.raises(ConnectionFailed):
                await one.export_profiles().__aenter__()

    virtually(scenario())


@pytest.mark.parametrize("error", [AssertionError("not mocked"), KeyError("bug")])
def test_a_bug_of_a_transport_shows_as_what_it_is(error: Exception) -> None:
    async def scenario() -> None:
        async with client(raising(error, within=False)) as one:
            with pytest.raises(type(error)):
                await one.send_events("u", "e")

    virtually(scenario())


def test_a_producer_goes_on_after_what_a_transport_raised() -> None:
    async def scenario() -> None:
        faults = [*FAULTS]

        def handler(request: httpx.Request) -> httpx.Response:
            if faults:
                raise faults.pop()
            return ok()

        async with client(handler) as one, one.producer() as producer:
            assert (await (await producer.track("u", "e"))).status == "delivered"

    virtually(scenario())


@pytest.mark.parametrize("version", [None, b"HTTP/2", b"HTTP/3"])
def test_a_stream_that_a_transport_ends_is_whole(version: bytes | None) -> None:
    async def scenario() -> None:
        extensions = {} if version is None else {"http_version": version}
        async with client(lambda _: httpx.Response(200, stream=Stream(CSV), extensions=extensions)) as one:
            assert len([row async for row in one.export_profiles()]) == 1

    virtually(scenario())


def test_a_stream_that_ends_with_its_connection_may_be_cut() -> None:
    async def scenario() -> None:
        old = {"http_version": b"HTTP/1.1"}
        async with client(lambda _: httpx.Response(200, stream=Stream(CSV), extensions=old)) as one:
            with pytest.raises(ExportInterrupted):
                _ = [row async for row in one.export_profiles()]

    virtually(scenario())


@pytest.mark.parametrize("length", [len(CSV) - 1, len(CSV) + 1])
def test_an_answer_of_another_length_than_it_told_is_not_taken(length: int) -> None:
    async def scenario() -> None:
        headers = {"content-length": str(length)}
        async with client(lambda _: httpx.Response(200, stream=Stream(CSV), headers=headers)) as one:
            with pytest.raises(ExportInterrupted):
                _ = [row async for row in one.export_profiles()]

    virtually(scenario())


def test_an_export_that_has_ended_says_so_instead_of_giving_nothing() -> None:
    async def scenario() -> None:
        async with client(lambda _: httpx.Response(200, content=CSV)) as one, one.export_profiles() as export:
            assert len([row async for row in export]) == 1
            with pytest.raises(DfineryError, match="ended"):
                _ = [row async for row in export]
        with pytest.raises(DfineryError, match="ended"):
            _ = [row async for row in export]

    virtually(scenario())


@pytest.mark.parametrize("setting", [{"zone": "Asia/Seoul"}, {"taxonomy": "taxonomy.json"}])
def test_what_an_export_cannot_work_with_is_told_before_anything_is_sent(setting: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with client(lambda _: httpx.Response(200, content=CSV)) as one:
            with pytest.raises(ConfigError, match=next(iter(setting))):
                one.export_profiles(**setting)
            with pytest.raises(ConfigError, match=next(iter(setting))):
                one.export_events("2025-03-01", "2025-03-02", **setting)
            if "taxonomy" in setting:
                with pytest.raises(ConfigError, match="taxonomy"):
                    one.producer(**setting)

    virtually(scenario())
