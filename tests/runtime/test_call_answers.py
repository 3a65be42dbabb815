"""Direct calls: what each answer becomes, and which of them are tried again."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, client_of, failed, virtually

from dfinery_async import (
    ApiError,
    BadRequest,
    ConnectionFailed,
    DfineryError,
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
