"""The assertions of the emulator, and the texts of those that fail."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from emulator_kit import EVENTS, PROFILE, event, events_body, profile_body, running

from dfinery_async import Identity
from dfinery_async.emulator import Emulator, Fault

PURCHASE = {"df_order_id": "O-17", "df_total_purchase_amount": 21000, "df_gift": True, "tags": ["a", "b"]}


async def send(client: httpx.AsyncClient, *events: dict[str, Any], **identity: str) -> None:
    await client.post(EVENTS, json=events_body(*events, **identity))


async def purchase(client: httpx.AsyncClient) -> None:
    await send(client, event("df_login"), external_id="u1")
    bought = event("df_purchase", event_properties=PURCHASE, event_items=[{"df_item_id": "A", "df_price": 9.5}])
    await send(client, bought, external_id="u1", email="u1@example.com")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"identity": "u1"},
        {"identity": {"email": "u1@example.com"}},
        {"identity": Identity(external_id="u1", email="u1@example.com")},
        {"properties": {"df_order_id": "O-17"}},
        {"properties": {"df_total_purchase_amount": 21000.0, "df_gift": True, "tags": ("a", "b")}},
        {"items": [{"df_item_id": "A"}]},
        {"items": [{}]},
        {"count": 1},
    ],
)
async def test_an_event_that_fits(wanted: dict[str, Any]) -> None:
    async with running() as (emulator, client):
        await purchase(client)
        found = emulator.assert_event("df_purchase", **wanted)

    assert found == emulator.events[1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"name": "df_purchas"}, "name: expected df_purchas, arrived df_purchase"),
        ({"identity": "u2"}, 'identity.external_id: expected "u2", arrived "u1"'),
        ({"identity": {"phone_no": "82"}}, 'identity.phone_no: expected "82", missing'),
        ({"properties": {"df_order_id": "O-71"}}, 'df_order_id: expected "O-71", arrived "O-17"'),
        ({"properties": {"df_keyword": "mug"}}, 'df_keyword: expected "mug", missing'),
        ({"properties": {"df_gift": 1}}, "df_gift: expected 1, arrived true"),
        ({"properties": {"tags": ["a"]}}, 'tags: expected ["a"], arrived ["a", "b"]'),
        ({"items": []}, "items: expected 0, arrived 1"),
        ({"items": [{"df_item_id": "B"}]}, 'items[0].df_item_id: expected "B", arrived "A"'),
        ({"count": 2}, "Expected 2 events, 1 fit"),
    ],
)
async def test_the_nearest_event_is_told(wanted: dict[str, Any], told: str) -> None:
    async with running() as (emulator, client):
        await purchase(client)
        with pytest.raises(AssertionError) as caught:
            emulator.assert_event(**{"name": "df_purchase", **wanted})

    text = str(caught.value)
    assert told in text
    assert "What has arrived: 2:" in text
    assert 'df_login of external_id="u1"' in text


@pytest.mark.asyncio
async def test_datetimes_are_compared_as_they_travel() -> None:
    moment = datetime(2025, 3, 2, 4, 15, 41, 7999, tzinfo=UTC)
    async with running() as (emulator, client):
        await send(client, event(event_properties={"when": "2025-03-02T04:15:41.007Z"}))

        assert emulator.assert_event(properties={"when": moment})


def test_nothing_at_all_is_told_with_the_way_out() -> None:
    with Emulator() as emulator, pytest.raises(AssertionError, match=r"(?s)No event has arrived.*flush\(\)"):
        emulator.assert_event("df_login")


@pytest.mark.asyncio
async def test_refusals_are_told_with_their_fields() -> None:
    async with running() as (emulator, client):
        await send(client, event(event_datetime="yesterday"))
        emulator.inject(Fault("status"))
        await send(client, event())
        with pytest.raises(AssertionError) as caught:
            emulator.assert_event("df_login")
        with pytest.raises(AssertionError, match=r"events\[0\]\.event_datetime: no datetime"):
            emulator.assert_nothing_refused()

    text = str(caught.value)
    assert "1. POST /api/v1/events: refused (HTTP 200, 40001 VALIDATION_FAILURE)" in text
    assert "events[0].event_datetime: no datetime" in text
    assert "2. POST /api/v1/events: failed (HTTP 500, 50000 INTERNAL_SERVER_ERROR), hit by the fault status" in text


@pytest.mark.asyncio
async def test_nothing_refused() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("latency", seconds=0))
        await send(client, event())

        emulator.assert_nothing_refused()


@pytest.mark.asyncio
async def test_no_event() -> None:
    async with running() as (emulator, client):
        emulator.assert_no_event()
        await purchase(client)
        emulator.assert_no_event("df_refund")
        emulator.assert_no_event("df_login", identity="u2")
        with pytest.raises(
            AssertionError, match=r'(?s)no event with\n  name: df_login.*1\. df_login of external_id="u1"'
        ):
            emulator.assert_no_event("df_login")


@pytest.mark.asyncio
async def test_names_in_their_order() -> None:
    async with running() as (emulator, client):
        await purchase(client)
        await send(client, event("df_logout"), external_id="u2")
        emulator.assert_names(["df_login", "df_purchase", "df_logout"])
        emulator.assert_names(["df_login", "df_purchase"], identity="u1")
        emulator.assert_names([], identity="nobody")
        with pytest.raises(AssertionError) as caught:
            emulator.assert_names(["df_purchase", "df_login"], identity="u1")

    assert str(caught.value).splitlines() == [
        'The events are others for external_id="u1":',
        "  expected     arrived",
        "! -            df_login",
        "  df_purchase  df_purchase",
        "! df_login     -",
    ]


@pytest.mark.asyncio
async def test_a_profile() -> None:
    async with running() as (emulator, client):
        await client.post(
            PROFILE, json=profile_body({"df_membership": "GOLD"}, external_id="u1", email="e@example.com")
        )

        assert emulator.assert_profile("u1", {"df_membership": "GOLD"}) == emulator.profiles[0]
        assert emulator.assert_profile({"email": "e@example.com"}) == emulator.profiles[0]
        with pytest.raises(AssertionError, match='df_membership: expected "SILVER", arrived "GOLD"'):
            emulator.assert_profile("u1", {"df_membership": "SILVER"})
        with pytest.raises(AssertionError, match=r'(?s)No profile of external_id="u2".*external_id="u1"'):
            emulator.assert_profile("u2")


@pytest.mark.asyncio
async def test_waiting_in_a_coroutine() -> None:
    async with running() as (emulator, client):
        waiting = asyncio.create_task(emulator.wait_for_event("df_purchase", identity="u1"))
        await purchase(client)
        found = await waiting
        with pytest.raises(AssertionError, match="No event fits"):
            await emulator.wait_for_event("df_refund", timeout=0.01)

    assert found == emulator.events[1]
    assert emulator._journal._listeners == []


def test_waiting_in_a_thread() -> None:
    with Emulator() as emulator:

        def post() -> None:
            httpx.post(
                f"{emulator.base_url}{EVENTS}?service_id={emulator.service_id}",
                headers={"access_token": emulator.import_token},
                json=events_body(event("df_login")),
                trust_env=False,
            )

        sender = threading.Thread(target=post)
        sender.start()
        found = emulator.assert_event("df_login", within=10)
        sender.join()
        with pytest.raises(AssertionError, match="No event fits"):
            emulator.assert_event("df_refund", within=0.01)

    assert found["event_name"] == "df_login"
    assert emulator._journal._listeners == []
