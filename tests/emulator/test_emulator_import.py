"""The Import API: who may call, what is stored, who is who."""

from __future__ import annotations

from typing import Any

import pytest
from emulator_kit import (
    DELETION,
    EVENT_EXPORT,
    EVENTS,
    IDENTITIES,
    PROFILE,
    day_query,
    event,
    events_body,
    person_body,
    profile_body,
    rows_of,
    running,
)

IMPORT_PATHS = (EVENTS, IDENTITIES, DELETION, PROFILE)


@pytest.mark.parametrize("path", IMPORT_PATHS)
@pytest.mark.asyncio
async def test_wrong_and_missing_service_ids(path: str) -> None:
    async with running() as (_, client):
        wrong = await client.post(path, json={}, params={"service_id": "other"})
        client.params = client.params.remove("service_id")
        missing = await client.post(path, json={})

    assert (wrong.status_code, wrong.json()["code"], wrong.json()["message"]) == (200, "40101", "INVALID_SERVICE_ID")
    assert (missing.status_code, missing.json()["code"]) == (400, "40000")


@pytest.mark.parametrize("path", IMPORT_PATHS)
@pytest.mark.asyncio
async def test_only_the_import_token_in_its_header_is_taken(path: str) -> None:
    async with running() as (emulator, client):
        replies = [
            await client.post(path, json={}, headers={"access_token": token})
            for token in ("", "wrong", emulator.export_token, f"Bearer {emulator.import_token}")
        ]
        del client.headers["access_token"]
        replies.append(await client.post(path, json={}, headers={"authorization": f"Bearer {emulator.import_token}"}))

    assert {reply.status_code for reply in replies} == {200}
    assert {reply.json()["code"] for reply in replies} == {"40201"}


@pytest.mark.asyncio
async def test_tokens_can_be_rotated() -> None:
    async with running() as (emulator, client):
        emulator.import_tokens.add("second")
        both = [
            (await client.post(EVENTS, json=events_body(event()), headers=headers)).json()["code"]
            for headers in ({}, {"access_token": "second"})
        ]
        emulator.import_tokens.discard(emulator.import_token)
        after = (await client.post(EVENTS, json=events_body(event()))).json()["code"]

    assert both == ["20000", "20000"]
    assert after == "40201"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"\xef\xbb\xbf{}", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"common": {"identity": {"external_id": "u"}}}', "application/json"),
        (b'{"common": {"identity": {"external_id": "u"}}, "events": [{}]}', "text/plain"),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_read_is_a_bad_request(content: bytes, media_type: str) -> None:
    async with running() as (emulator, client):
        reply = await client.post(EVENTS, content=content, headers={"content-type": media_type})

    assert (reply.status_code, reply.json()["code"], reply.json()["message"]) == (400, "40000", "BAD_REQUEST")
    assert emulator.requests[0].problems


@pytest.mark.asyncio
async def test_values_that_python_writes_as_json_are_still_checked() -> None:
    async with running() as (emulator, client):
        body = events_body(event(event_properties={"a": "NUMBER"}))
        texts = [(await _post_text(client, body, number)) for number in ("NaN", "-Infinity", "1e999")]

    assert texts == ["40001"] * 3
    assert emulator.requests[0].problems[0].field == "events[0].event_properties.a"


async def _post_text(client: Any, body: dict[str, Any], number: str) -> str:
    text = client.build_request("POST", EVENTS, json=body).content.decode().replace('"NUMBER"', number)
    reply = await client.post(EVENTS, content=text, headers={"content-type": "application/json"})
    return str(reply.json()["code"])


@pytest.mark.asyncio
async def test_records_tell_what_came() -> None:
    async with running() as (emulator, client):
        await client.post(EVENTS, json=events_body(event(event_items=[{"a": 1}, {"a": 2}]), event(), email="a@b.c"))
        await client.post(EVENTS, json=events_body(event(event_name=""), event()))

    good, bad = emulator.requests
    assert (good.method, good.path, good.family) == ("POST", EVENTS, "events")
    assert (good.status, good.code, good.message) == (200, 20000, "OK")
    assert (good.identity, good.event_count, good.item_count) == ({"email": "a@b.c"}, 2, 2)
    assert good.body["events"][1]["event_name"] == "df_login"
    assert good.headers["access_token"] == emulator.import_token
    assert good.problems == ()
    assert (bad.code, [problem.field for problem in bad.problems]) == (40001, ["events[0].event_name"])
    assert emulator.import_token not in repr(good)


@pytest.mark.asyncio
async def test_bodies_are_kept_only_on_request() -> None:
    async with running(keep_bodies=False) as (emulator, client):
        await client.post(EVENTS, json=events_body(event()))

    assert emulator.requests[0].body is None
    assert emulator.requests[0].event_count == 1
    assert len(emulator.events) == 1


@pytest.mark.parametrize(("batches", "code", "stored"), [("whole", "40001", 0), ("partial", "20000", 1)])
@pytest.mark.asyncio
async def test_batches_with_a_bad_event(batches: str, code: str, stored: int) -> None:
    async with running(batches=batches) as (emulator, client):
        reply = await client.post(EVENTS, json=events_body(event(event_datetime="yesterday"), event()))

    assert reply.json()["code"] == code
    assert len(emulator.events) == stored


@pytest.mark.parametrize(("duplicates", "stored"), [("store", 3), ("ignore", 1)])
@pytest.mark.asyncio
async def test_duplicate_log_ids(duplicates: str, stored: int) -> None:
    sent = event()
    async with running(duplicates=duplicates) as (emulator, client):
        await client.post(EVENTS, json=events_body(sent, sent))
        reply = await client.post(
            EVENTS, json=events_body({**sent, "event_log_id": sent["event_log_id"].upper()}, external_id="other")
        )

    assert reply.json()["code"] == "20000"
    assert len(emulator.events) == stored


@pytest.mark.parametrize(("unregistered", "code"), [("drop", "20000"), ("reject", "40001")])
@pytest.mark.parametrize(
    "taxonomy",
    [
        ["df_login"],
        {"events": [{"name": "df_login"}, {"name": "df_logout"}], "event_properties": ["known"]},
        {"item_properties": []},
    ],
)
@pytest.mark.asyncio
async def test_unregistered_events(taxonomy: Any, unregistered: str, code: str) -> None:
    odd = event("df_logout", event_properties={"unknown": 1}, event_items=[{"unknown": 1}])
    async with running(taxonomy=taxonomy, unregistered=unregistered) as (emulator, client):
        reply = await client.post(EVENTS, json=events_body(event("df_login"), odd))
        session = await client.post(EVENTS, json=events_body(event("df_start_session")))

    assert reply.json()["code"] == code
    assert session.json()["code"] == "20000"
    assert [stored["event_name"] for stored in emulator.events] == (
        ["df_login", "df_start_session"] if unregistered == "drop" else ["df_start_session"]
    )
    assert emulator.requests[0].problems[0].what.startswith("not registered")


REGISTERED = {
    "events": ["df_login"],
    "event_properties": [
        {"name": "text", "type": "String"},
        {"name": "long", "type": "Long"},
        {"name": "double", "type": "Double"},
        {"name": "flag", "type": "Boolean"},
        {"name": "at", "type": "Datetime"},
        {"name": "texts", "type": "Array of String"},
        "anything",
    ],
}


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"text": "a", "long": 1, "double": 1, "flag": True, "texts": ["a"], "anything": 1, "at": None}, None),
        ({"txt": "a"}, "events[0].event_properties.txt: not registered; text is"),
        ({"zzz": "a"}, "events[0].event_properties.zzz: not registered"),
        ({"text": 1}, "events[0].event_properties.text: registered as String"),
        ({"long": True}, "events[0].event_properties.long: registered as Long"),
        ({"long": 1.5}, "events[0].event_properties.long: registered as Long"),
        ({"double": "1"}, "events[0].event_properties.double: registered as Double"),
        ({"flag": 1}, "events[0].event_properties.flag: registered as Boolean"),
        ({"texts": [1]}, "events[0].event_properties.texts: registered as Array of String"),
    ],
)
@pytest.mark.asyncio
async def test_registered_types_are_kept_to(properties: dict[str, Any], problem: str | None) -> None:
    async with running(taxonomy=REGISTERED, unregistered="reject") as (emulator, client):
        await client.post(EVENTS, json=events_body(event("df_login", event_properties=properties)))

    found = [f"{each.field}: {each.what}" for each in emulator.requests[0].problems]
    assert found == ([] if problem is None else [problem])


@pytest.mark.parametrize(("unregistered", "code"), [("drop", "20000"), ("reject", "40001")])
@pytest.mark.asyncio
async def test_unregistered_user_properties(unregistered: str, code: str) -> None:
    taxonomy = {"user_properties": ["known"]}
    async with running(taxonomy=taxonomy, unregistered=unregistered) as (emulator, client):
        odd = await client.post(PROFILE, json=profile_body({"known": 1, "unknown": 2}, external_id="a"))
        consent = await client.post(PROFILE, json=profile_body({"known": 1, "df_push_optin": True}, external_id="b"))

    assert (odd.json()["code"], consent.json()["code"]) == (code, "20000")
    assert [profile.properties for profile in emulator.profiles] == [{"known": 1, "df_push_optin": True}]


@pytest.mark.asyncio
async def test_newer_properties_win_and_null_clears() -> None:
    async with running() as (emulator, client):
        await client.post(PROFILE, json=profile_body({"a": 1, "b": 1, "c": 1}, external_id="u"))
        await client.post(PROFILE, json=profile_body({"b": 2, "c": None}, external_id="u"))

    assert [profile.properties for profile in emulator.profiles] == [{"a": 1, "b": 2}]


@pytest.mark.asyncio
async def test_profiles_that_turn_out_the_same_are_merged() -> None:
    async with running() as (emulator, client):
        await client.post(PROFILE, json=profile_body({"a": "phone", "b": "phone"}, phone_no="821"))
        await client.post(PROFILE, json=profile_body({"b": "mail"}, email="m@example.com"))
        await client.post(EVENTS, json=events_body(event(), email="m@example.com"))
        before = emulator.profiles
        await client.post(IDENTITIES, json=person_body(phone_no="821", email="m@example.com", external_id="u"))
        rows = await rows_of(client, EVENT_EXPORT, day_query())

    assert len(before) == 2
    (profile,) = emulator.profiles
    assert profile.unified_id == before[0].unified_id
    assert profile.identities == {"external_id": "u", "phone_no": "821", "email": "m@example.com"}
    assert profile.properties == {"a": "phone", "b": "mail"}
    assert [row["df_unified_id"] for row in rows] == [profile.unified_id]


@pytest.mark.asyncio
async def test_a_shared_email_does_not_merge_two_members() -> None:
    async with running() as (emulator, client):
        for external_id in ("a", "b"):
            await client.post(IDENTITIES, json=person_body(external_id=external_id, email="both@example.com"))
        await client.post(PROFILE, json=profile_body({"seen": True}, email="both@example.com"))

    first, second = emulator.profiles
    assert (first.identities["external_id"], second.identities["external_id"]) == ("a", "b")
    assert (first.properties, second.properties) == ({}, {"seen": True})


@pytest.mark.asyncio
async def test_an_anonymous_profile_joins_the_member_that_shows_up() -> None:
    async with running() as (emulator, client):
        await client.post(IDENTITIES, json=person_body(external_id="member"))
        await client.post(PROFILE, json=profile_body({"a": 1}, kakao_user_id="k"))
        await client.post(PROFILE, json=profile_body({"b": 1}, external_id="member", kakao_user_id="k"))
        await client.post(PROFILE, json=profile_body({"c": 1}, line_user_id="l"))
        await client.post(PROFILE, json=profile_body({"d": 1}, line_user_id="l", kakao_user_id="k"))

    (profile,) = emulator.profiles
    assert profile.properties == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert profile.identities == {"external_id": "member", "kakao_user_id": "k", "line_user_id": "l"}


@pytest.mark.asyncio
async def test_a_deleted_profile_comes_back_as_another() -> None:
    async with running() as (emulator, client):
        await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u", email="u@example.com"))
        old = emulator.profiles[0].unified_id
        codes = [
            (await client.post(DELETION, json=person_body(external_id=name))).json()["code"] for name in ("u", "nobody")
        ]
        gone = emulator.profiles
        await client.post(IDENTITIES, json=person_body(email="u@example.com"))

    assert codes == ["20000", "20000"]
    assert gone == []
    assert emulator.profiles[0].unified_id != old
    assert emulator.profiles[0].properties == {}


@pytest.mark.asyncio
async def test_unified_ids_look_like_the_samples_and_repeat_with_the_seed() -> None:
    ids: list[list[str]] = []
    for _ in range(2):
        async with running(seed=7) as (emulator, client):
            for name in "abc":
                await client.post(IDENTITIES, json=person_body(external_id=name))
        ids.append([profile.unified_id for profile in emulator.profiles])

    assert ids[0] == ids[1]
    assert all(len(each) == 7 and each.isalnum() for each in ids[0])
