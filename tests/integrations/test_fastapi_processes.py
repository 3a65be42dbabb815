"""FastAPI services under uvicorn: workers, reloads and signals under load, in processes of their own."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest
from web_kit import Crowd, lost, serving, write_service

from dfinery_async.emulator import Emulator, Fault

pytestmark = pytest.mark.timeout(180)  # processes that start, on a machine that may have much else to do


def test_two_workers_that_are_told_to_end_under_load_lose_nothing(tmp_path):
    write_service(tmp_path)

    async def scenario(emulator: Emulator) -> None:
        async with serving(tmp_path, emulator, "--workers", "2", workers=2) as service:
            crowd = Crowd(service)
            async with crowd.calling():
                await crowd.until(lambda: len(crowd.accepted) >= 400 and len(crowd.pids) == 2)
                await service.stop()
            assert "Traceback" not in service.log, service.log
        assert lost(crowd, emulator) == []

    with Emulator(keep_bodies=False) as emulator:
        asyncio.run(scenario(emulator))
        assert twice(emulator) == []


def twice(emulator: Emulator) -> list[str]:
    return [
        log_id for log_id, count in Counter(event["event_log_id"] for event in emulator.events).items() if count > 1
    ]


def test_a_reload_under_load_loses_nothing(tmp_path):
    write_service(tmp_path)

    async def scenario(emulator: Emulator) -> None:
        async with serving(tmp_path, emulator, "--reload", "--reload-delay", "0.05") as service:
            crowd = Crowd(service)
            async with crowd.calling():
                await crowd.until(lambda: len(crowd.accepted) >= 200)
                write_service(tmp_path, version=22)
                await crowd.until(lambda: 22 in crowd.versions and len(crowd.accepted) >= 400)
                await service.stop(signal.SIGINT)
            assert len(crowd.pids) == 2
        assert lost(crowd, emulator) == []

    with Emulator(keep_bodies=False) as emulator:
        asyncio.run(scenario(emulator))


def test_with_a_spool_nothing_is_lost_though_the_api_was_away(tmp_path):
    write_service(tmp_path, options="drain=0.5, spool='spool'")

    async def scenario(emulator: Emulator) -> None:
        outage = emulator.inject(Fault.parse("5xx=100%"))
        async with serving(tmp_path, emulator, "--workers", "2", workers=2) as service:
            crowd = Crowd(service)
            async with crowd.calling():
                await crowd.until(lambda: len(crowd.accepted) >= 200 and len(crowd.pids) == 2)
                await service.stop()
            assert "are in the spool" in service.log
        assert len(lost(crowd, emulator)) == len(crowd.accepted)

        outage.remove()
        write_service(tmp_path, options="spool='spool'")
        async with serving(tmp_path, emulator) as service:  # one worker takes over what two have left
            await service.stop()
        assert lost(crowd, emulator) == []
        assert "Traceback" not in service.log, service.log

    with Emulator(keep_bodies=False) as emulator:
        asyncio.run(scenario(emulator))


def test_the_crowd_sees_what_a_service_loses(tmp_path):
    """The control: a service that gives its producer no time to end loses what it had confirmed."""
    write_service(tmp_path, options="drain=0, linger=60")

    async def scenario(emulator: Emulator) -> None:
        async with serving(tmp_path, emulator) as service:
            crowd = Crowd(service)
            async with crowd.calling():
                await crowd.until(lambda: len(crowd.accepted) >= 100)
                await service.stop()
        assert lost(crowd, emulator) != []
        assert "dropped" in service.log

    with Emulator() as emulator:
        asyncio.run(scenario(emulator))
