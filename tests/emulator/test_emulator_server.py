"""The emulator as a thing that starts, stops and lives in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from emulator_kit import EVENTS, IDENTITIES, client_of, event, events_body, person_body, running

from dfinery_async.emulator import Emulator, Fault, Settings


def emulator_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "emulator" in thread.name]


def post(emulator: Emulator) -> httpx.Response:
    return httpx.post(
        f"{emulator.base_url}{EVENTS}",
        params={"service_id": emulator.service_id},
        headers={"access_token": emulator.import_token},
        json=events_body(event()),
        trust_env=False,
    )


@pytest.mark.asyncio
async def test_no_thread_is_left() -> None:
    before = threading.active_count()
    async with Emulator() as emulator:
        assert emulator_threads() == ["dfinery-emulator"]
        async with client_of(emulator) as client:
            await client.post(EVENTS, json=events_body(event()))

    assert threading.active_count() == before


@pytest.mark.asyncio
async def test_stopping_does_not_wait_for_open_connections() -> None:
    async with Emulator() as emulator:
        client = client_of(emulator)
        await client.post(EVENTS, json=events_body(event()))
        began = time.perf_counter()
    took = time.perf_counter() - began
    await client.aclose()

    assert took < 1
    assert emulator_threads() == []


def test_connections_of_the_last_moment_are_closed() -> None:
    """One that is still open when it is collected warns, and warnings are errors."""
    for _ in range(40):
        with Emulator() as emulator:
            host, port = emulator.base_url.removeprefix("http://").split(":")
            socket.create_connection((host, int(port))).close()
    gc.collect()


def test_it_works_without_a_loop_and_starts_again() -> None:
    with Emulator(import_token="one") as emulator:
        assert post(emulator).json()["code"] == "20000"
        first = emulator.base_url
    assert emulator_threads() == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(first, trust_env=False)

    emulator.start()
    assert post(emulator).json()["code"] == "20000"
    assert len(emulator.events) == 2
    with pytest.raises(RuntimeError, match="runs already"):
        emulator.start()
    emulator.stop()
    emulator.stop()
    emulator.wait()
    assert emulator_threads() == []


@pytest.mark.asyncio
async def test_it_answers_while_the_callers_loop_is_blocked() -> None:
    async with Emulator() as emulator:
        assert post(emulator).json()["code"] == "20000"


@pytest.mark.asyncio
async def test_a_caller_who_gives_up_on_the_start_leaves_no_thread() -> None:
    task = asyncio.create_task(Emulator().__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert emulator_threads() == []


def test_wait_ends_with_the_server() -> None:
    with Emulator() as emulator:
        waiting = threading.Thread(target=emulator.wait)
        waiting.start()
        emulator.stop()
        waiting.join(5)
        assert not waiting.is_alive()


def test_a_port_of_choice_and_one_that_is_taken() -> None:
    with Emulator() as emulator:
        port = int(emulator.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            Emulator(port=port).start()
    with Emulator(port=port) as emulator:
        assert emulator.base_url == f"http://127.0.0.1:{port}"


def test_before_the_start_there_is_no_address() -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        _ = Emulator().base_url


def test_settings_as_one_value_and_by_keyword() -> None:
    emulator = Emulator(
        settings=Settings(service_id="abcdef", import_token="i", code_type="integer"), service_id="ghijkl"
    )

    assert (emulator.service_id, emulator.import_token) == ("ghijkl", "i")
    assert emulator.settings.code_type == "integer"
    assert "'i'" not in repr(emulator.settings)
    with pytest.raises(TypeError, match="colour"):
        Emulator(colour="red")


def test_tokens_are_made_up_anew() -> None:
    first, second = Emulator(), Emulator()

    assert len({first.import_token, first.export_token, second.import_token, second.export_token}) == 4


def test_the_environment_of_a_client() -> None:
    with Emulator(import_token="i", export_token="e") as emulator:
        assert emulator.environment == {
            "DFINERY_BASE_URL": emulator.base_url,
            "DFINERY_SERVICE_ID": emulator.service_id,
            "DFINERY_IMPORT_TOKEN": "i",
            "DFINERY_EXPORT_TOKEN": "e",
        }


@pytest.mark.asyncio
async def test_reset_empties_everything() -> None:
    async with running(quota={"events": "1/1m"}, seed=1) as (emulator, client):
        await client.post(EVENTS, json=events_body(event(event_properties={"custom": 1})))
        first = emulator.profiles
        emulator.inject(Fault("code"))
        emulator.import_tokens.clear()
        emulator.reset()
        empty = (emulator.events, emulator.profiles, emulator.requests)
        reply = await client.post(EVENTS, json=events_body(event()))

    assert empty == ([], [], [])
    assert reply.json()["code"] == "20000"
    assert emulator.profiles == first


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8080", 200),
        ("LocalHost", 200),
        ("[::1]:80", 200),
        ("127.0.0.2", 200),
        ("127.255.0.10:8080", 200),
        ("127.0.0.256", 403),
        ("128.0.0.1", 403),
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:1", 403),
        ("127.0.0.1@evil.example", 403),
        ("", 403),
    ],
)
@pytest.mark.asyncio
async def test_only_loopback_hosts_are_answered(host: str, status: int) -> None:
    async with running() as (emulator, client):
        page = await client.get("/", headers={"host": host})
        call = await client.post(EVENTS, json=events_body(event()), headers={"host": host})

    assert (page.status_code, call.status_code) == (status, status)
    assert len(emulator.events) == (1 if status == 200 else 0)


@pytest.mark.asyncio
async def test_the_page_other_paths_and_other_methods() -> None:
    async with running() as (_, client):
        page = await client.get("/")
        unknown = await client.post("/api/v2/events", json={})
        method = await client.get(EVENTS)

    assert "DFINERY emulator" in page.text
    assert unknown.status_code == 404
    assert (method.status_code, method.headers["allow"]) == (405, "POST")


@pytest.mark.asyncio
async def test_many_callers_at_once_are_all_stored() -> None:
    async with running() as (emulator, client):
        await asyncio.gather(*(client.post(EVENTS, json=events_body(event(), external_id=f"u{n}")) for n in range(200)))
        await client.post(IDENTITIES, json=person_body(external_id="u1"))

    assert len(emulator.events) == 200
    assert len({stored["event_log_id"] for stored in emulator.events}) == 200
    assert len(emulator.profiles) == 200
    assert len(emulator.requests) == 201


def test_importing_it_brings_no_server() -> None:
    code = (
        "import sys, dfinery_async.emulator as e; e.Emulator(); "
        "print(sorted({'uvicorn', 'starlette', 'httptools'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_it_shares_no_code_with_the_client() -> None:
    code = (
        "import sys; from dfinery_async.emulator import Emulator; Emulator().start().stop(); "
        "print(sorted(n for n in sys.modules if n.startswith('dfinery_async.') and '.emulator' not in n))"
    )
    before = "import sys, dfinery_async; print(sorted(n for n in sys.modules if n.startswith('dfinery_async.')))"
    loaded, allowed = (
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True).stdout
        for each in (code, before)
    )

    assert loaded == allowed


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfinery_async.emulator.server.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"pip install 'dfinery-async\[emulator\]'"):
        Emulator().start()
