"""The file that keeps a store between runs."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

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

from dfinery_async.emulator import Emulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.asyncio
async def test_a_second_run_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    async with running(state=path, duplicates="ignore") as (emulator, client):
        sent = event(event_properties={"tags": ["a"], "flag": True})
        await client.post(EVENTS, json=events_body(sent, external_id="gone"))
        await client.post(EVENTS, json=events_body(event(), email="m@example.com"))
        await client.post(PROFILE, json=profile_body({"a": 1, "b": 1}, phone_no="821"))
        await client.post(DELETION, json=person_body(external_id="gone"))
        events, profiles = emulator.events, emulator.profiles
        rows = await rows_of(client, EVENT_EXPORT, day_query())

    async with running(state=str(path), duplicates="ignore") as (emulator, client):
        assert (emulator.events, emulator.profiles) == (events, profiles)
        assert await rows_of(client, EVENT_EXPORT, day_query()) == rows
        await client.post(EVENTS, json=events_body(sent, external_id="gone"))
        await client.post(PROFILE, json=profile_body({"b": 2}, external_id="u", email="m@example.com", phone_no="821"))
        assert emulator.events == events

    async with running(state=path) as (emulator, client):
        merged = emulator.profiles[0]
        await client.post(IDENTITIES, json=person_body(email="m@example.com"))
        assert len(emulator.profiles) == 2

    assert merged.properties == {"a": 1, "b": 2}
    assert merged.identities == {"external_id": "u", "email": "m@example.com", "phone_no": "821"}


def test_the_file_is_for_its_owner_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    with Emulator(state=path):
        pass

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_state_that_cannot_be_written_is_told_at_the_stop(tmp_path: Path) -> None:
    emulator = Emulator(state=tmp_path / "missing" / "state.jsonl").start()

    with pytest.raises(FileNotFoundError):
        emulator.stop()


@pytest.mark.asyncio
async def test_a_state_that_cannot_be_written_is_told_at_the_end_of_the_block(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with Emulator(state=tmp_path / "missing" / "state.jsonl"):
            pass


@pytest.mark.parametrize(
    "text", ["", "{}\n", "no json", '{"dfinery-emulator": 1}\n[]\n', '{"dfinery-emulator": 1}\n{"event": {}}\n']
)
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.jsonl"
    path.write_text(text, encoding="utf-8")
    emulator = Emulator(state=path)

    with pytest.raises(ValueError, match="no state of the emulator"):
        emulator.start()
    emulator.wait()
    assert path.read_text(encoding="utf-8") == text
