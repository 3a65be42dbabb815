"""The file that keeps a store between runs."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from typing import TYPE_CHECKING, Any

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

from dfinery_async.emulator import Emulator, saving, state
from dfinery_async.emulator.store import Store

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


def names_in(path: Path) -> list[str]:
    """The ids of the events that a file holds now; it is whole whenever it is read."""
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line["event"]["event_log_id"] for line in lines if "event" in line]


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody tells when a file is written
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_what_comes_is_saved_while_the_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_EVERY", 0.02)
    path = tmp_path / "state.jsonl"
    async with running(state=path) as (emulator, client):
        for number in range(1, 4):
            await client.post(EVENTS, json=events_body(event(), external_id="u"))
            await until(lambda number=number: path.exists() and len(names_in(path)) == number)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await until(lambda: list(tmp_path.iterdir()) == [path])
        copy = tmp_path / "copy.jsonl"
        copy.write_bytes(path.read_bytes())
        async with running(state=copy) as (other, _):
            assert (other.events, other.profiles) == (emulator.events, emulator.profiles)


@pytest.mark.asyncio
async def test_nothing_is_written_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_EVERY", 0.001)
    path = tmp_path / "state.jsonl"
    async with running(state=path) as (_, client):
        await client.get("/")
        assert not path.exists()
        await client.post(IDENTITIES, json=person_body(email="m@example.com"))
        await until(path.exists)
        await until(lambda: list(tmp_path.iterdir()) == [path])
        written = path.stat()
        for _ in range(20):
            await client.get("/")
        assert path.stat().st_ino == written.st_ino


@pytest.mark.asyncio
async def test_a_save_that_has_begun_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "_EVERY", 0.001)
    monkeypatch.setattr(saving, "_BREATH", 60.0)
    path = tmp_path / "state.jsonl"
    async with running(state=path) as (_, client):
        await client.post(EVENTS, json=events_body(event(), external_id="u"))
        await until((tmp_path / "state.jsonl.part").exists)
        await client.post(EVENTS, json=events_body(event(), external_id="u"))
        assert not path.exists()

    assert len(names_in(path)) == 2
    assert not (tmp_path / "state.jsonl.part").exists()


@pytest.mark.asyncio
async def test_a_save_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(saving, "_EVERY", 0.001)
    tries = []
    save = state.save

    def failing(*arguments: Any) -> None:
        tries.append(arguments)
        if len(tries) < 4:
            raise OSError(28, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(state, "save", failing)
    path = tmp_path / "state.jsonl"
    with caplog.at_level(logging.WARNING, "dfinery_async.emulator"):
        async with running(state=path) as (_, client):
            await client.post(EVENTS, json=events_body(event(), external_id="u"))
            await until(path.exists)

    told = "the state can't be written: no space left on device; it is as it was before, and tried again"
    assert [record.getMessage() for record in caplog.records] == [told]


def test_what_changes_during_a_save_is_not_in_it(tmp_path: Path) -> None:
    store = Store(1)
    first, second = event(), event()
    store.add_events({"external_id": "gone"}, [first], arrived=1, unique=False)
    store.add_events({"email": "m@example.com"}, [second], arrived=2, unique=False)
    store.update({"email": "m@example.com"}, {"a": 1})
    before, events = store.profiles(), store.events()
    changed = False

    def change() -> None:
        nonlocal changed
        if not changed:
            changed = True
            store.delete("gone")
            store.update({"external_id": "new", "email": "m@example.com"}, {"b": 2})
            store.add_events({"external_id": "late"}, [event()], arrived=3, unique=False)

    state.save(store, tmp_path / "state.jsonl", change)
    assert changed
    other = Store(1)
    state.load(other, tmp_path / "state.jsonl")
    assert (other.profiles(), other.events()) == (before, events)
