"""Answers in forms that the API's pages do not show, and what may not be told of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import spool_kit
from far_end import EXPORT_TOKEN, IMPORT_TOKEN, client_of, virtually

from dfinery_async import (
    BadRequest,
    DfineryClient,
    DfineryError,
    Event,
    ExportInterrupted,
    InvalidInputError,
    InvalidToken,
    RateLimited,
    UnexpectedResponse,
    ValidationFailure,
)

OK = json.dumps({"status": True, "code": "20000", "message": "OK", "data": True}).encode()
CSV = b"df_event_name,df_order_id\ndf_purchase,00000001\n"


def answering(*answers: httpx.Response) -> Any:
    left = [*answers]
    return client_of(httpx.MockTransport(lambda request: left.pop(0) if len(left) > 1 else left[0]))


def sent(answer: httpx.Response) -> None:
    async def scenario() -> None:
        async with answering(answer) as client:
            await client.send_events("u", "e")

    virtually(scenario())


def exported(*answers: httpx.Response) -> list[dict[str, Any]]:
    async def scenario() -> list[dict[str, Any]]:
        async with answering(*answers) as client:
            return [row async for row in client.export_profiles()]

    return virtually(scenario())


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_of_http_is_one(status: int) -> None:
    sent(httpx.Response(status, content=OK))
    assert exported(httpx.Response(status, content=CSV)) == [
        {"df_event_name": "df_purchase", "df_order_id": "00000001"}
    ]


def test_a_part_of_an_answer_is_no_export() -> None:
    with pytest.raises(UnexpectedResponse):
        exported(httpx.Response(206, content=CSV))


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_an_answer_that_was_packed_on_its_way_is_read(encoding: str) -> None:
    headers = {"content-encoding": encoding}
    sent(httpx.Response(200, content=gzip.compress(OK), headers=headers))
    failure = gzip.compress(b'{"status":false,"code":40001,"message":""}')
    with pytest.raises(ValidationFailure):
        sent(httpx.Response(200, content=failure, headers=headers))


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(OK)[:-9], gzip.compress(b" " * 2_000_000)], ids=["broken", "cut", "long"]
)
def test_a_packed_answer_that_cannot_be_read_is_none(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        sent(httpx.Response(200, stream=httpx.ByteStream(body), headers={"content-encoding": "gzip"}))


def test_a_web_page_in_the_place_of_an_export_is_not_the_apis() -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        exported(httpx.Response(200, text="<html>sign in</html>"))
    assert (caught.value.status, caught.value.attempts, caught.value.retryable) == (200, 3, True)


class Breaks(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"<ht"
        raise httpx.ReadError("gone")


def test_an_answer_that_breaks_off_before_it_is_known_what_it_is_was_interrupted() -> None:
    with pytest.raises(ExportInterrupted):
        exported(httpx.Response(200, stream=Breaks(), headers={"transfer-encoding": "chunked"}))


@pytest.mark.parametrize("echo", [IMPORT_TOKEN, f"the token {IMPORT_TOKEN}, of", f"Bearer {EXPORT_TOKEN}"])
def test_a_token_that_the_server_repeats_is_told_nobody(echo: str) -> None:
    caught: list[DfineryError] = []
    for do, answer in (
        (sent, httpx.Response(200, json={"status": False, "code": 40201, "message": echo})),
        (exported, httpx.Response(401, json={"result": "fail", "message": echo})),
    ):
        with pytest.raises(InvalidToken) as error:
            do(answer)
        caught.append(error.value)
    for each in caught:
        told = f"{each} {each!r} {each.args} {vars(each)}" + "".join(traceback.format_exception(each))
        assert IMPORT_TOKEN not in told
        assert EXPORT_TOKEN not in told


async def all_rows(client: DfineryClient) -> list[dict[str, Any]]:
    return [row async for row in client.export_profiles()]


FORMS: dict[str, Callable[[DfineryClient, Path], Awaitable[Any]]] = {
    "rows": lambda client, _: all_rows(client),
    "csv": lambda client, folder: client.export_profiles().save(folder / "a.csv"),
    "safe csv": lambda client, folder: client.export_profiles().save(folder / "a.csv", spreadsheet_safe=True),
    "jsonl": lambda client, folder: client.export_profiles().save(folder / "a.jsonl"),
    "parquet": lambda client, folder: client.export_profiles().save(folder / "a.parquet"),
    "table": lambda client, _: client.export_profiles().arrow(),
    "side by side": lambda client, folder: client.export_events(
        dt.date(2025, 3, 1), dt.date(2025, 3, 4), days_per_call=1
    ).save(folder / "a.csv"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_token_that_stands_in_the_failure_of_an_export_is_told_nobody(
    form: str, newline: bytes, tmp_path: Path
) -> None:
    echo = f"no access with {EXPORT_TOKEN}, ask kim@example.com"
    failure = json.dumps({"result": "fail", "message": echo}).encode()

    async def scenario() -> DfineryError:
        async with answering(httpx.Response(200, content=CSV + failure + newline)) as client:
            with pytest.raises(ExportInterrupted) as caught:
                await FORMS[form](client, tmp_path)
            return caught.value

    error = spool_kit.virtually(scenario())
    told = f"{error} {error!r} {error.args} {vars(error)}" + "".join(traceback.format_exception(error))
    assert EXPORT_TOKEN not in told
    assert str(error).startswith("no access with <token>, ask <e-mail>")


def test_tokens_from_functions_and_those_before_them_are_told_nobody() -> None:
    async def scenario() -> None:
        answer = {"status": False, "code": 40000, "message": "tok-0 tok-1 tok-2 plain-1 plain-2"}
        async with answering(httpx.Response(200, json=answer)) as client:
            client.set_tokens(import_token="plain-1", export_token="plain-2")
            for number in range(3):
                client.set_tokens(import_token=lambda number=number: f"tok-{number}")
                with pytest.raises(BadRequest) as caught:
                    await client.send_events("u", "e")
                assert caught.value.message.count("<token>") == 3 + number
            for number in range(20):
                client.set_tokens(import_token=f"more-{number}")
            assert len(client._gateway._secrets) == 8

    virtually(scenario())


def test_retry_after_of_a_refused_export_counts() -> None:
    async def scenario() -> None:
        refused = httpx.Response(429, headers={"retry-after": "13"})
        async with answering(refused, httpx.Response(200, content=CSV)) as client:
            assert len([row async for row in client.export_profiles()]) == 1
            assert 13 <= asyncio.get_running_loop().time() <= 15.1
        refused = httpx.Response(429, headers={"retry-after": "130"})
        async with answering(refused) as client:
            with pytest.raises(RateLimited):
                await client.export_profiles().__aenter__()

    virtually(scenario())


def test_a_name_that_is_an_address_is_told_nobody() -> None:
    event = Event("kim@example.com", properties={"lee@example.com": 1, "010-1234-5678": 2, "fine": 3})

    assert repr(event).startswith("Event('<e-mail>', properties=<<e-mail>, <number>, fine>")
    with pytest.raises(InvalidInputError) as caught:
        Event("e", properties={"kim@example.com": float("nan")})
    assert caught.value.field == "<e-mail>"
    assert str(caught.value).startswith("<e-mail>: ")
