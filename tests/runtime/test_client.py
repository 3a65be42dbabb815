"""Direct calls: what goes out, what is refused before it does, and the ends of callers and of clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from far_end import EXPORT_TOKEN, IMPORT_TOKEN, FarEnd, client_of, failed, ok, virtually

from dfinery_async import (
    ClientClosed,
    ConfigError,
    DfineryClient,
    Event,
    Identity,
    InvalidInputError,
    ValidationFailure,
)


def test_each_call_goes_where_it_belongs() -> None:
    async def scenario() -> None:
        seen: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return ok()

        async with client_of(httpx.MockTransport(handler)) as client:
            await client.send_events("u", "df_login")
            await client.upsert_identity(Identity(email="kim@example.com"))
            await client.delete_identity("u")
            await client.update_profile("u", {"df_gender": "Female"})
        assert [request.url.path for request in seen] == [
            "/api/v1/events",
            "/api/v1/identities",
            "/api/v1/identities/delete",
            "/api/v1/user-profile",
        ]
        for request in seen:
            assert request.method == "POST"
            assert str(request.url).startswith("https://openapi.dfinery.ai/api/v1/")
            assert request.url.params["service_id"] == "svc"
            assert request.headers["access_token"] == IMPORT_TOKEN
            assert "authorization" not in request.headers
            assert request.headers["content-type"] == "application/json"
            assert request.headers["user-agent"].startswith("dfinery-async/")
            assert request.headers["host"] == "openapi.dfinery.ai"
            assert EXPORT_TOKEN not in str(request.headers.raw)

    virtually(scenario())


def test_exports_carry_the_export_token_alone() -> None:
    async def scenario() -> None:
        seen: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200, text="a,b\n1,2\n")

        async with client_of(httpx.MockTransport(handler)) as client, client.export_profiles() as export:
            assert export.columns == ("a", "b")
            assert [row async for row in export] == [{"a": "1", "b": "2"}]
        [request] = seen
        assert request.headers["authorization"] == f"Bearer {EXPORT_TOKEN}"
        assert "access_token" not in request.headers

    virtually(scenario())


def test_any_number_of_events_is_split_to_the_limits_in_order() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            await client.send_events("u", [Event("e", properties={"n": number}) for number in range(250)])
            await client.send_events("v", [Event("e", items=[{"a": 1}] * 60) for _ in range(3)])
            await client.send_events("w", (name for name in ("a", "b")))
        assert [len(call.events) for call in far_end.calls] == [100, 100, 50, 1, 1, 1, 2]
        assert [number for _, number in far_end.applied()] == [*range(250)]

    virtually(scenario())


def test_a_failed_part_says_which_events_it_was() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40001) if 150 in call.numbers else None)
        async with client_of(far_end) as client:
            with pytest.raises(ValidationFailure) as caught:
                await client.send_events("u", [Event("e", properties={"n": number}) for number in range(250)])
        assert caught.value.delivered == 100
        assert caught.value.refused == range(100, 200)
        assert len(far_end.calls) == 2

    virtually(scenario())


def test_a_cancelled_caller_leaves_the_request_alone() -> None:
    async def scenario() -> None:
        finished: list[str] = []

        async def handler(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(1)
            finished.append(request.url.path)
            return failed(50000)

        async with client_of(httpx.MockTransport(handler)) as client:
            call = asyncio.create_task(client.send_events("u", "e"))
            await asyncio.sleep(0.5)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(5)
            assert finished == ["/api/v1/events"]  # the attempt under way ended by itself, and no other followed

    virtually(scenario())


def test_bad_input_is_refused_before_anything_is_sent() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            calls: list[Callable[[], Any]] = [
                lambda: client.send_events("", "e"),
                lambda: client.send_events("u", ["fine", ""]),
                lambda: client.upsert_identity(""),
                lambda: client.delete_identity(""),
                lambda: client.delete_identity(7),  # type: ignore[arg-type]
                lambda: client.update_profile("u", {}),
                lambda: client.update_profile("u", {"a": float("inf")}),
            ]
            for call in calls:
                with pytest.raises(InvalidInputError):
                    await call()
            with pytest.raises(InvalidInputError):
                client.quota("nonsense")  # type: ignore[arg-type]
            with pytest.raises(InvalidInputError):
                client.export_events("2025-03-02", "2025-03-01")
        assert far_end.calls == []

    virtually(scenario())


@pytest.mark.parametrize(
    ("events", "field", "text"),
    [
        ({"df_login": 1}, "events", "not dict"),
        (None, "events", "not NoneType"),
        (5, "events", "not int"),
        (b"df_login", "events", "not bytes"),
        (["fine", None], "events[1]", "not NoneType"),
    ],
)
def test_what_is_no_list_of_events_is_named(events: Any, field: str, text: str) -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            with pytest.raises(InvalidInputError, match=text) as caught:
                await client.send_events("u", events)
            assert caught.value.field == field
        assert far_end.calls == []

    virtually(scenario())


def test_an_async_source_of_events_is_shown_its_way() -> None:
    async def source() -> AsyncIterator[str]:
        yield "e"

    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            with pytest.raises(InvalidInputError, match=r"client\.load"):
                await client.send_events("u", source())  # type: ignore[arg-type]

    virtually(scenario())


def test_no_event_at_all_is_no_request() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            await client.send_events("u", [])
            await client.send_events("u", iter(()))
            with pytest.raises(InvalidInputError):
                await client.send_events("", [])
        assert far_end.calls == []

    virtually(scenario())


def test_half_of_a_character_leaves_no_copy_of_its_text_behind() -> None:
    with pytest.raises(InvalidInputError) as caught:
        Identity(email="kim@example.com\ud800")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.producer(),
        lambda client: client.export_profiles(),
        lambda client: client.export_events("2025-03-01", "2025-03-01"),
    ],
)
def test_without_an_event_loop_the_way_out_is_told(call: Callable[[DfineryClient], Any]) -> None:
    with pytest.raises(ConfigError, match="async def"):
        call(client_of(FarEnd()))


def test_a_closed_client_says_so() -> None:
    async def scenario() -> None:
        client = client_of(FarEnd())
        producer = client.producer()
        receipt = await producer.track("u", "e")
        await client.aclose()
        await client.aclose()
        assert (await receipt).status == "delivered"
        calls: list[Callable[[], Any]] = [
            lambda: client.send_events("u", "e"),
            lambda: client.upsert_identity("u"),
            client.__aenter__,
        ]
        for call in calls:
            with pytest.raises(ClientClosed):
                await call()
        with pytest.raises(ClientClosed):
            client.export_profiles()
        with pytest.raises(ClientClosed):
            client.producer()

    virtually(scenario())


def test_calls_side_by_side_share_the_slots() -> None:
    async def scenario() -> None:
        in_air = most = 0

        async def handler(request: httpx.Request) -> httpx.Response:
            nonlocal in_air, most
            in_air += 1
            most = max(most, in_air)
            await asyncio.sleep(0.1)
            in_air -= 1
            return ok()

        async with client_of(httpx.MockTransport(handler)) as client:
            calls = [asyncio.create_task(client.send_events(f"u{number}", "e")) for number in range(300)]
            await asyncio.sleep(0.15)
            for call in calls[100:150]:
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
        assert most == 64
        assert sum(outcome is None for outcome in done) == 250

    virtually(scenario())
