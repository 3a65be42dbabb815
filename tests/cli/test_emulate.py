from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import time

import httpx
import pytest
from cli_kit import start

from dfinery_async import DfineryClient, ValidationFailure

NAMES = ["DFINERY_BASE_URL", "DFINERY_SERVICE_ID", "DFINERY_IMPORT_TOKEN", "DFINERY_EXPORT_TOKEN"]


async def send(settings):
    async with DfineryClient(**settings) as client:
        await client.send_events("u1", ["df_login"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_lines_for_a_shell(number, code):
    with start("emulate", "--service-id", "shopkr", "--quota", "events=5/1m") as process:
        assert process.stdout is not None
        found = {}
        for _ in NAMES:
            word, assignment = shlex.split(process.stdout.readline())
            assert word == "export"
            name, _, value = assignment.partition("=")
            found[name] = value
        asyncio.run(send({name.removeprefix("DFINERY_").lower(): value for name, value in found.items()}))
        process.send_signal(number)

    assert list(found) == NAMES
    assert found["DFINERY_SERVICE_ID"] == "shopkr"
    assert process.returncode == code


def test_one_object_with_json(tmp_path):
    token = tmp_path / "token"
    token.write_text("a-token\n")
    token.chmod(0o600)
    with start("emulate", "--json", "--import-token-file", str(token)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        settings = json.loads(process.stdout.readline())
        asyncio.run(send(settings))
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read() + process.stderr.read()

    assert list(settings) == ["base_url", "service_id", "import_token", "export_token"]
    assert settings["import_token"] == "a-token"
    assert rest == ""


def test_what_came_is_there_in_the_next_run(tmp_path):
    path = tmp_path / "state.jsonl"
    found = []
    for _ in range(2):
        with start("emulate", "--json", "--state", str(path)) as process:
            assert process.stdout is not None
            settings = json.loads(process.stdout.readline())
            found.append(httpx.get(f"{settings['base_url']}/page/live", trust_env=False).json()["stored"]["events"])
            asyncio.run(send(settings))
            process.send_signal(signal.SIGTERM)

    assert found == [0, 1]


def test_a_state_outlives_a_kill(tmp_path):
    path = tmp_path / "state.jsonl"
    with start("emulate", "--json", "--state", str(path)) as process:
        assert process.stdout is not None
        asyncio.run(send(json.loads(process.stdout.readline())))
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            os.sched_yield()
        process.kill()
    with start("emulate", "--json", "--state", str(path)) as process:
        assert process.stdout is not None
        settings = json.loads(process.stdout.readline())
        kept = httpx.get(f"{settings['base_url']}/page/live", trust_env=False).json()["stored"]["events"]
        process.send_signal(signal.SIGTERM)

    assert kept == 1


def test_a_port_in_use(dfinery):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output, errors = dfinery("emulate", "--port", port)

    assert (code, output) == (2, "")
    assert f"can't listen on port {port}: address already in use" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "no port has the number 70000"),
        (["--port", "http"], "--port"),
        (["--quota", "events"], "FAMILY=CALLS/PERIOD"),
        (["--quota", "visits=1/1m"], "one of events, identities, profiles, exports"),
        (["--fault", "flood"], "expected one of"),
        (["--import-token-file", "missing"], "can't be read"),
        (["--state", "missing/state.jsonl"], "can't be written"),
        (["--state", __file__], "no state of the emulator"),
    ],
)
def test_wrong_use(dfinery, arguments, message):
    code, output, errors = dfinery("emulate", *arguments)

    assert (code, output) == (2, "")
    assert message in errors


def test_what_a_taxonomy_does_not_know_is_refused(tmp_path):
    taxonomy = tmp_path / "shop.json"
    taxonomy.write_text('{"events": ["shop_rated"]}', encoding="utf-8")

    async def scenario(settings):
        async with DfineryClient(**settings) as client:
            await client.send_events("u1", ["shop_rated", "df_login"])
            with pytest.raises(ValidationFailure):
                await client.send_events("u1", ["shop_rate"])

    with start("emulate", "--json", "--taxonomy", str(taxonomy)) as process:
        assert process.stdout is not None
        asyncio.run(scenario(json.loads(process.stdout.readline())))
        process.send_signal(signal.SIGTERM)


def test_a_taxonomy_that_is_none_is_wrong_use(dfinery, tmp_path):
    assert dfinery("emulate", "--taxonomy", tmp_path / "none.json")[0] == 2
