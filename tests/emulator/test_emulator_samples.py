"""Each sample of the vendor's guide is answered as the sample says."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from emulator_kit import (
    DELETION,
    EVENT_EXPORT,
    EVENTS,
    IDENTITIES,
    PROFILE,
    PROFILE_EXPORT,
    ManualClock,
    event,
    events_body,
    running,
)

from dfinery_async.emulator import Fault

OK = '{"status": true, "code": "20000", "message": "OK", "data": true}'

IDENTITY_SAMPLE: dict[str, Any] = {
    "identity": {"external_id": "dfn-user-123", "email": "user@example.com", "phone_no": "821012345678"},
    "request_datetime": "2024-06-24T06:01:48.501Z",
}
DELETION_SAMPLE: dict[str, Any] = {
    "identity": {"external_id": "dfn-user-123"},
    "request_datetime": "2025-05-13T06:01:48.501Z",
}
PROFILE_SAMPLE: dict[str, Any] = {
    "identity": {"external_id": "dfn-user-123"},
    "user_properties": {"df_gender": "Female"},
    "request_datetime": "2024-05-14T06:05:46.363Z",
}
EVENT_SAMPLE: dict[str, Any] = {
    "common": {"identity": {"external_id": "dfn-user-123", "email": "user@example.com"}},
    "events": [
        {
            "event_log_id": "b0c9cf18-f3c0-4879-bb2e-92c65858dabc",
            "event_name": "df_login",
            "event_datetime": "2024-06-24T06:01:48.501Z",
            "event_properties": None,
            "event_items": None,
        },
        {
            "event_log_id": "464bc021-9c56-481e-8ee8-3bf06de7c418",
            "event_name": "df_purchase",
            "event_datetime": "2024-06-24T06:42:25.394Z",
            "event_properties": {
                "df_order_id": "dwtfmoe",
                "df_delivery_charge": 1000,
                "df_payment_method": "card",
                "df_total_purchase_amount": 4000,
            },
            "event_items": [
                {"df_item_id": "1", "df_item_name": "item1", "df_price": 3000, "df_quantity": 1, "df_discount": 0}
            ],
        },
    ],
}
EVENT_EXPORT_SAMPLE: dict[str, Any] = {
    "events": ["df_purchase"],
    "events_condition_type": "include",
    "properties": ["df_discount", "df_items_df_price"],
    "properties_condition_type": "include",
    "from_date": "2024-08-25",
    "to_date": "2024-08-26",
}
PROFILE_EXPORT_SAMPLE: dict[str, Any] = {
    "audience": "nwh3nu",
    "properties_condition_type": "exclude",
    "properties": ["df_birth"],
    "identities": ["df_external_id"],
    "identities_condition_type": "include",
}


@pytest.mark.parametrize(
    ("path", "body"),
    [(IDENTITIES, IDENTITY_SAMPLE), (DELETION, DELETION_SAMPLE), (PROFILE, PROFILE_SAMPLE), (EVENTS, EVENT_SAMPLE)],
)
@pytest.mark.asyncio
async def test_import_samples_are_answered_as_in_the_guide(path: str, body: dict[str, Any]) -> None:
    async with running() as (_, client):
        reply = await client.post(path, json=body)

    assert reply.status_code == 200
    assert reply.text == OK
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.asyncio
async def test_event_sample_is_stored_as_sent_with_the_identity_beside() -> None:
    async with running() as (emulator, client):
        await client.post(EVENTS, json=EVENT_SAMPLE)

    assert emulator.events == [
        {**sent, "identity": EVENT_SAMPLE["common"]["identity"]} for sent in EVENT_SAMPLE["events"]
    ]


@pytest.mark.asyncio
async def test_too_many_events_have_data_true_as_in_the_sample() -> None:
    async with running() as (_, client):
        reply = await client.post(EVENTS, json=events_body(*[event() for _ in range(101)]))

    assert reply.status_code == 200
    assert reply.text == '{"status": false, "code": "40402", "message": "TOO_MANY_EVENTS", "data": true}'


@pytest.mark.parametrize(
    ("code", "message"), [(20000, "OK"), (40001, "VALIDATION_FAILURE"), (50000, "INTERNAL_SERVER_ERROR")]
)
@pytest.mark.asyncio
async def test_integer_codes_have_data_null_as_in_the_samples_of_detailed_response(code: int, message: str) -> None:
    async with running(code_type="integer") as (emulator, client):
        if code == 50000:
            emulator.inject(Fault("code", code=code))
        body = events_body(event(event_log_id="no-uuid")) if code == 40001 else EVENT_SAMPLE
        reply = await client.post(EVENTS, json=body)

    assert reply.status_code == 200
    assert reply.json() == {"status": code == 20000, "code": code, "message": message, "data": None}


@pytest.mark.asyncio
async def test_limit_headers_as_in_the_sample() -> None:
    async with running(quota={"events": "100000/1d"}, clock=ManualClock(datetime(2023, 4, 27, 11, tzinfo=UTC))) as (
        _,
        client,
    ):
        reply = await client.post(EVENTS, json=EVENT_SAMPLE)

    assert reply.headers["x-ratelimit-limit"] == "1d"
    assert reply.headers["x-ratelimit-remaining"] == "99999"
    assert reply.headers["x-ratelimit-reset"] == "1682640000000"


@pytest.mark.asyncio
async def test_event_export_sample_gives_csv_with_the_columns_that_were_asked_for() -> None:
    async with running(today=date(2024, 8, 26)) as (_, client):
        purchase = {
            **EVENT_SAMPLE["events"][1],
            "event_datetime": "2024-08-25T03:00:00.000Z",
            "event_properties": {"df_discount": 500, "df_order_id": "dwtfmoe"},
        }
        await client.post(EVENTS, json={**EVENT_SAMPLE, "events": [EVENT_SAMPLE["events"][0], purchase]})
        reply = await client.post(EVENT_EXPORT, json=EVENT_EXPORT_SAMPLE)

    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.text == (
        "df_api_version,df_correction_datetime,df_discount,df_event_datetime,df_event_detail_log_id,df_event_log_id,"
        "df_event_name,df_items_df_price,df_server_datetime,df_service_id,df_source_type,df_unified_id\n"
        "1.0.0,2024-08-25 12:00:00.000,500,2024-08-25 12:00:00.000,"
        "1740888942113:464bc021-9c56-481e-8ee8-3bf06de7c418,1740888942113:464bc021-9c56-481e-8ee8-3bf06de7c418,"
        "df_purchase,3000,2025-03-02 13:15:42.113,devsvc,HTTP_API,0UAqFzW\n"
    )


@pytest.mark.asyncio
async def test_event_export_that_starts_too_early_fails_as_in_the_sample() -> None:
    async with running() as (_, client):
        reply = await client.post(EVENT_EXPORT, json=EVENT_EXPORT_SAMPLE)

    assert reply.status_code == 400
    assert reply.text == '{"result": "fail", "message": "exceed_date_range_limit"}'


@pytest.mark.asyncio
async def test_failed_export_sample() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("status", status=500))
        reply = await client.post(EVENT_EXPORT, json=EVENT_EXPORT_SAMPLE)

    assert reply.status_code == 500
    assert reply.text == '{"result": "fail", "message": "unknown_error"}'


@pytest.mark.asyncio
async def test_profile_export_sample_has_its_conventions() -> None:
    async with running(audiences={"nwh3nu": ["a", "b"]}) as (_, client):
        shown = {"df_gender": "Male", "df_push_ads_optin": True, "scenario_list_string": ["1", "2"], "df_birth": "x"}
        for external_id, properties in (("a", shown), ("b", {"df_push_ads_optin": False}), ("c", shown)):
            body = {**PROFILE_SAMPLE, "identity": {"external_id": external_id}, "user_properties": properties}
            await client.post(PROFILE, json=body)
        reply = await client.post(PROFILE_EXPORT, json=PROFILE_EXPORT_SAMPLE)

    assert reply.status_code == 200
    header, first, second = reply.text.splitlines()
    assert header == (
        "df_external_id,df_gender,df_kakao_ads_optin,df_membership,df_name,df_push_ads_optin,df_push_night_ads_optin,"
        "df_push_optin,df_sms_ads_optin,df_unified_id,scenario_list_string"
    )
    assert first.startswith("a,Male,,,,true,,,,")
    assert first.endswith(',"[""1"",""2""]"')
    assert second.startswith("b,,,,,false,,,,")
    assert second.endswith(",null")
