"""Direct calls: what goes out, what each answer becomes, and how long a call may take."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from far_end import EXPORT_TOKEN, IMPORT_TOKEN, Call, FarEnd, client_of, failed, ok, virtually

from dfinery_async import (
    ApiError,
    BadRequest,
    ClientClosed,
    ConfigError,
    ConnectionFailed,
    DfineryClient,
    DfineryError,
    Event,
    Identity,
    InvalidInputError,
    InvalidServiceId,
    InvalidToken,
    RateLimited,
    RetryConfig,
    ServerError,
    TooManyEvents,
    TooManyProfiles,
    UnexpectedResponse,
    ValidationFailure,
)


def now() -> float:
    return asyncio.get_running_loop().time()


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


@pytest.mark.parametrize(
    ("answer", "error", "calls"),
    [
        (lambda: failed("40000", message="BAD_REQUEST"), BadRequest, 1),
        (lambda: failed(40001, message="VALIDATION_FAILURE"), ValidationFailure, 1),
        (lambda: failed(40101), InvalidServiceId, 1),
        (lambda: failed("40201"), InvalidToken, 1),
        (lambda: failed(40402), TooManyEvents, 1),
        (lambda: failed(40403), TooManyProfiles, 1),
        (lambda: failed(49999), ApiError, 1),
        (lambda: httpx.Response(400, text="no"), BadRequest, 1),
        (lambda: httpx.Response(401), InvalidToken, 1),
        (lambda: httpx.Response(302, headers={"location": "https://elsewhere.example"}), UnexpectedResponse, 1),
        (lambda: httpx.Response(404, text="<html>"), UnexpectedResponse, 1),
        (lambda: httpx.Response(200, text="<html>"), UnexpectedResponse, 3),
        (lambda: httpx.Response(200), UnexpectedResponse, 3),
        (lambda: httpx.Response(200, json={"status": False, "code": 20000}), UnexpectedResponse, 3),
        (lambda: httpx.Response(200, content=b"x" * 2_000_000), UnexpectedResponse, 3),
        (lambda: failed(50000), ServerError, None),
        (lambda: failed(50101), ServerError, None),
        (lambda: httpx.Response(503), ServerError, None),
        (lambda: httpx.ConnectError("no"), ConnectionFailed, None),
        (lambda: httpx.ReadTimeout("no"), ConnectionFailed, None),
        (lambda: OSError("no"), ConnectionFailed, None),
    ],
)
def test_what_each_answer_becomes(answer: Callable[[], Any], error: type[DfineryError], calls: int | None) -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: answer())
        async with client_of(far_end) as client:
            with pytest.raises(error) as caught:
                await client.send_events("u", "e")
        assert type(caught.value) is error
        assert now() <= 30.5
        assert getattr(caught.value, "attempts", 0) == len(far_end.calls)
        if calls is None:
            assert len(far_end.calls) > 3
        else:
            assert len(far_end.calls) == calls
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own error
        assert str(again) == str(caught.value)

    virtually(scenario())


def test_passing_trouble_passes() -> None:
    async def scenario() -> None:
        answers: list[Any] = [failed(50000), httpx.ReadError("gone"), httpx.Response(200, text="?"), None]
        far_end = FarEnd(lambda call: answers.pop(0))
        async with client_of(far_end) as client:
            await client.update_profile("u", {"a": 1})
        assert len({call.raw for call in far_end.calls}) == 1
        assert len(far_end.calls) == 4

    virtually(scenario())


def test_a_throttled_call_waits_where_the_reset_is_near() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40401) if now() < 3 else None)
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert 3 <= now() <= 30

    virtually(scenario())


def test_retries_may_be_switched_off() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40401 if call.path.endswith("identities") else 50000))
        async with client_of(far_end, retry=RetryConfig(total=0)) as client:
            with pytest.raises(ServerError):
                await client.send_events("u", "e")
            with pytest.raises(RateLimited):
                await client.upsert_identity("u")
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


def test_a_missing_token_is_told_before_anything_is_sent() -> None:
    async def scenario() -> None:
        async with DfineryClient("svc", export_token=EXPORT_TOKEN, transport=FarEnd()) as client:
            with pytest.raises(ConfigError, match=r"import_token.*DFINERY_IMPORT_TOKEN"):
                await client.send_events("u", "e")
            with pytest.raises(ConfigError, match="import_token"):
                client.producer()
        async with DfineryClient("svc", import_token=IMPORT_TOKEN, transport=FarEnd()) as client:
            with pytest.raises(ConfigError, match="DFINERY_EXPORT_TOKEN"):
                client.export_profiles()

    virtually(scenario())


def test_tokens_may_be_functions_and_may_be_changed() -> None:
    async def scenario() -> None:
        tokens = iter(["one", "two"])
        far_end = FarEnd()
        async with client_of(far_end) as client:
            client.set_tokens(import_token=lambda: next(tokens), export_token="other")
            current = ["0"]
            client.set_tokens(import_token=lambda: f"token-{current[0]}")
            await client.upsert_identity("u")
            current[0] = "1"
            await client.upsert_identity("u")
            client.set_tokens(import_token="plain")
            await client.upsert_identity("u")
            with pytest.raises(ConfigError):
                client.set_tokens(import_token="with\nbreak")
        assert [call.headers["access_token"] for call in far_end.calls] == ["token-0", "token-1", "plain"]

    virtually(scenario())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"service_id": "svc", "base_url": "http://example.com"}, "https"),
        ({"service_id": "svc", "base_url": "https://user:secret-CANARY@example.com"}, "user"),
        ({"service_id": ""}, "service_id"),
        ({"service_id": "a&b=1"}, "service_id"),
        ({"service_id": "svc", "import_token": "secret-CANARY\r\n"}, "import_token"),
        ({"service_id": "svc", "export_token": "geheim-CANARY-ü"}, "export_token"),
        ({"service_id": "svc", "retry": 5}, "retry must be a RetryConfig, not int"),
        ({"service_id": "svc", "pacing": {}}, "pacing"),
        ({"service_id": "svc", "timeouts": 3.0}, "timeouts"),
        ({"service_id": "svc", "connections": "many"}, "connections"),
    ],
)
def test_settings_that_cannot_work_are_told_when_the_client_is_made(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        DfineryClient(**arguments)
    assert "CANARY" not in str(caught.value)


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_ID", "IMPORT_TOKEN", "EXPORT_TOKEN", "BASE_URL"):
        monkeypatch.delenv(f"DFINERY_{name}", raising=False)
    with pytest.raises(ConfigError, match="DFINERY_SERVICE_ID"):
        DfineryClient.from_env()
    monkeypatch.setenv("DFINERY_SERVICE_ID", "svc")
    monkeypatch.setenv("DFINERY_BASE_URL", "http://127.0.0.1:1")
    assert "svc at http://127.0.0.1:1" in repr(DfineryClient.from_env())
    assert "other" in repr(DfineryClient.from_env(service_id="other"))


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


def test_an_answer_is_read_as_tolerantly_as_it_is_documented() -> None:
    async def scenario() -> None:
        bodies: list[dict[str, Any]] = [
            {"status": True, "code": 20000, "message": "OK", "data": None},
            {"status": True, "code": "20000", "message": None, "extra": [1]},
        ]
        far_end = FarEnd(lambda call: httpx.Response(200, json=bodies[len(far_end.calls) - 1]))
        for _ in bodies:
            async with client_of(far_end) as client:
                await client.send_events("u", "e")

    virtually(scenario())


def test_the_api_message_is_told_without_personal_data() -> None:
    async def scenario() -> None:
        def answer(call: Call) -> httpx.Response:
            return failed(40001, message="bad e-mail kim@example.com\x1b[2J of +82 10 5550 1234" + "x" * 10_000)

        async with client_of(FarEnd(answer)) as client:
            with pytest.raises(ValidationFailure) as caught:
                await client.send_events("u", "e")
        text = str(caught.value)
        assert "kim@" not in text
        assert "5550" not in text
        assert "\x1b" not in text
        assert len(text) < 500

    virtually(scenario())
