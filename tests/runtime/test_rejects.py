"""Who hears of what the API refused, and that no callback can keep the others from being told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import spool_kit
from far_end import FarEnd, client_of, failed, numbered, refuses, virtually

from dfinery_async import (
    ConfigError,
    DeliveryError,
    DfineryClient,
    Identity,
    Producer,
    Rejection,
    Report,
    ValidationFailure,
)
from dfinery_async.cli.app import run
from dfinery_async.emulator import Emulator


def test_a_bad_event_stands_alone_in_the_end() -> None:
    async def scenario() -> list[Rejection]:
        rejections: list[Rejection] = []
        far_end = FarEnd(refuses(17, 63))
        async with client_of(far_end) as client, client.producer(on_rejected=rejections.append) as producer:
            receipts = [await producer.track("u", numbered(number)) for number in range(100)]
            report = await producer.flush()
            with pytest.raises(DeliveryError) as caught:
                await receipts[17]
            assert isinstance(caught.value.__cause__, ValidationFailure)
            assert (await receipts[18]).status == "delivered"
        accepted = [number for call in far_end.calls if not set(call.numbers) & {17, 63} for number in call.numbers]
        assert accepted == [number for number in range(100) if number not in {17, 63}]
        assert (report.delivered, report.rejected) == (98, 2)
        assert report.requests <= 2 * (2 * 7 + 1) + 1
        return rejections

    rejections = virtually(scenario())
    assert [rejection.event.properties for rejection in rejections if rejection.event] == [{"n": 17}, {"n": 63}]
    assert {rejection.identity for rejection in rejections} == {Identity(external_id="u")}
    assert all(isinstance(rejection.error, ValidationFailure) for rejection in rejections)
    assert all(rejection.attempts >= 7 for rejection in rejections)


def test_a_refused_merged_profile_is_taken_apart() -> None:
    async def scenario() -> None:
        rejections: list[Rejection] = []

        async def note(rejection: Rejection) -> None:
            await asyncio.sleep(0.01)
            rejections.append(rejection)

        far_end = FarEnd(lambda call: failed(40001) if "bad" in call.body.get("user_properties", {}) else None)
        async with client_of(far_end) as client, client.producer(on_rejected=note) as producer:
            await producer.set_profile("u", {"good": 1})
            await producer.set_profile("u", {"bad": 1})
            await producer.identify("u")
            report = await producer.aclose()
        assert (report.delivered, report.rejected) == (2, 1)
        assert [(rejection.kind, rejection.properties) for rejection in rejections] == [("profile", {"bad": 1})]

    virtually(scenario())


def test_rejects_go_to_a_private_file_in_the_form_that_load_reads(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"

    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40001, message="VALIDATION_FAILURE"))
        async with client_of(far_end) as client, client.producer(on_rejected=path) as producer:
            await producer.track(Identity(external_id="u", email="kim@example.com"), numbered(7, items=[{"a": 1.0}]))
            await producer.set_profile("v", {"df_gender": "Female"})
            await producer.identify("w")

    virtually(scenario())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    by_user = {line["identity"]["external_id"]: line for line in lines}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(by_user["u"]) == [
        "identity",
        "event_log_id",
        "event_name",
        "event_datetime",
        "event_properties",
        "event_items",
        "error",
    ]
    assert by_user["u"]["event_properties"] == {"n": 7}
    assert by_user["v"]["user_properties"] == {"df_gender": "Female"}
    assert by_user["w"]["error"]["type"] == "ValidationFailure"


def test_each_kind_is_loaded_from_a_file_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(tmp_path / f"{name}.jsonl") for name in ("rejects", "others", "identities")]

    async def scenario() -> None:
        async with (
            client_of(FarEnd(lambda call: failed(40001))) as client,
            client.producer(on_rejected=names[0]) as each,
        ):
            await each.set_profile("v", {"df_gender": "Female"})
            await each.identify("w")
            await each.track("u", numbered(7))

    virtually(scenario())
    with Emulator() as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        assert run(["load", "events", names[0], "--rejects", names[1]]) == 1
        assert run(["load", "profiles", names[1], "--rejects", names[2]]) == 1
        assert run(["load", "identities", names[2]]) == 0
        assert [event["event_properties"] for event in emulator.events] == [{"n": 7}]
        assert {user.identities["external_id"]: user.properties for user in emulator.profiles} == {
            "u": {},
            "v": {"df_gender": "Female"},
            "w": {},
        }


def test_a_file_for_rejects_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            with pytest.raises(ConfigError, match="rejects"):
                client.producer(on_rejected=tmp_path)

    virtually(scenario())


def test_a_callback_that_fails_harms_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> Report:
        def fails(rejection: Rejection) -> None:
            raise ValueError("kim@example.com")

        far_end = FarEnd(lambda call: failed(40001))
        async with client_of(far_end) as client:
            producer = client.producer(on_rejected=fails)
            for number in range(3):
                await producer.track(f"u{number}", "e")
            return await producer.aclose()

    assert virtually(scenario()).rejected == 3
    assert [record.message for record in caplog.records if "on_rejected" in record.message] == [
        "on_rejected failed and is called on for the next: ValueError"
    ]


def test_a_slow_callback_does_not_hold_the_close_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def slow(rejection: Rejection) -> None:
            await asyncio.sleep(3600)

        async with client_of(FarEnd(lambda call: failed(40001))) as client:
            producer = client.producer(on_rejected=slow)
            await producer.track("u", "e")
            await producer.aclose(timeout=5.0)
            assert asyncio.get_running_loop().time() <= 5.5

    virtually(scenario())
    assert any("on_rejected took longer" in record.message for record in caplog.records)


async def awaits_what_was_cancelled_elsewhere() -> None:
    other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


async def cancels_its_own_task() -> None:
    await asyncio.sleep(0.3)  # meanwhile others come to wait
    cancels_the_task_at_once()
    await asyncio.sleep(0)


def cancels_the_task_at_once() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def leaves_by_an_exit_of_generators() -> None:
    raise GeneratorExit


@pytest.mark.parametrize(
    ("callback", "error"),
    [
        (awaits_what_was_cancelled_elsewhere, "CancelledError"),
        (cancels_its_own_task, "CancelledError"),
        (cancels_the_task_at_once, "CancelledError"),
        (leaves_by_an_exit_of_generators, "GeneratorExit"),
    ],
)
def test_a_callback_that_ends_oddly_takes_no_other_rejection_with_it(
    callback: Callable[[], Awaitable[None] | None], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        told: list[Any] = []

        def tell(rejection: Rejection) -> Awaitable[None] | None:
            assert rejection.event is not None
            told.append(rejection.event.properties)
            return callback()

        async with client_of(FarEnd(refuses(*range(4)))) as client:
            producer = client.producer(on_rejected=tell)
            for number in range(3):
                await producer.track("u", numbered(number))
            await producer.flush()
            await producer.track("u", numbered(3))
            report = await producer.aclose()
            assert asyncio.get_running_loop().time() < 2
        assert told == [{"n": number} for number in range(4)]
        assert report.rejected == 4

    virtually(scenario())
    assert [record.message for record in caplog.records if "on_rejected" in record.message] == [
        f"on_rejected failed and is called on for the next: {error}"
    ]


def test_a_client_that_closes_says_how_many_rejections_nobody_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def slow(rejection: Rejection) -> None:
            await asyncio.sleep(3600)

        async with client_of(FarEnd(lambda call: failed(40001))) as client:
            producer = client.producer(on_rejected=slow)
            for number in range(3):
                await producer.track(f"u{number}", "e")
            await producer.aclose(timeout=5.0)

    virtually(scenario())
    assert [record.message for record in caplog.records if "on_rejected" in record.message] == [
        "on_rejected took longer than the time to close",
        "on_rejected was not called for the last 2 rejections",
    ]


@pytest.mark.parametrize("wrong", [5, b"rejects.jsonl", ["rejects.jsonl"]])
def test_what_is_neither_a_function_nor_a_path_is_told_at_once(wrong: Any) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            with pytest.raises(ConfigError, match="on_rejected must be a function or the path of a file"):
                client.producer(on_rejected=wrong)

    virtually(scenario())


ENDS: dict[str, Callable[[DfineryClient, Producer], Awaitable[Any]]] = {
    "the producer": lambda _, producer: producer.aclose(),
    "the client": lambda client, _: client.aclose(),
    "in a task of its own": lambda _, producer: asyncio.create_task(producer.aclose()),
    "with a bound": lambda _, producer: asyncio.wait_for(producer.aclose(), 3600),
    "one after the other": lambda client, producer: asyncio.gather(producer.aclose(), client.aclose()),
    "no more than a flush": lambda _, producer: producer.flush(),
}


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_callback_may_end_what_calls_it(
    end: Callable[[DfineryClient, Producer], Awaitable[Any]],
    spooled: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        told: list[Any] = []

        async def ends(rejection: Rejection) -> None:
            begun = asyncio.get_running_loop().time()
            await end(client, producer)
            assert asyncio.get_running_loop().time() < begun + 0.1
            assert producer.stats().pending == 0
            await asyncio.sleep(10)  # whoever closes from elsewhere waits for this
            assert rejection.event is not None
            told.append(rejection.event.properties)

        async with client_of(FarEnd(refuses(1, 2))) as client:
            async with client.producer(on_rejected=ends, spool=tmp_path if spooled else None) as producer:
                for number in range(4):
                    await producer.track(f"u{number}", numbered(number))
                await producer.flush()
                await asyncio.sleep(1)
            assert told == [{"n": 1}, {"n": 2}]
            report = await producer.aclose()
        assert asyncio.get_running_loop().time() < 22
        assert (report.delivered, report.rejected, report.pending) == (2, 2, 0)

    spool_kit.virtually(scenario())
    assert caplog.records == []
    assert not spooled or spool_kit.rows_on_disk(tmp_path) == 0


def test_callbacks_that_end_each_others_producers_do_not_wait_for_each_other(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        reports: list[Report] = []

        async with client_of(FarEnd(lambda call: failed(40001))) as client:

            async def ends(rejection: Rejection) -> None:
                reports.extend([await each.aclose() for each in reversed(producers)])

            producers = [client.producer(on_rejected=ends) for _ in range(2)]
            for each in producers:
                await each.track("u", "e")
            await asyncio.sleep(1)
        assert asyncio.get_running_loop().time() < 1.1
        assert [report.rejected for report in reports] == [1] * 4

    virtually(scenario())
    assert caplog.records == []


def test_what_a_callback_has_left_behind_waits_for_others() -> None:
    async def scenario() -> None:
        told: list[Rejection] = []
        later: list[asyncio.Task[None]] = []

        async def goes_on_later() -> None:
            await asyncio.sleep(5)
            await producer.track("u", "e")
            await producer.aclose()
            assert len(told) == 2

        async def leaves_a_task(rejection: Rejection) -> None:
            if not later:
                later.append(asyncio.create_task(goes_on_later()))
            await asyncio.sleep(1)
            told.append(rejection)

        async with client_of(FarEnd(lambda call: failed(40001))) as client:
            producer = client.producer(on_rejected=leaves_a_task)
            await producer.track("u", "e")
            await producer.flush()
            await asyncio.sleep(3)
            await later[0]

    virtually(scenario())
