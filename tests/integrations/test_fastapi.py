"""FastAPI services: in this process, by its test client."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient

from dfinery_async import ConfigError
from dfinery_async.integrations.fastapi import ClientDep, ProducerDep, lifespan


@pytest.fixture
def emulator(dfinery_emulator, dfinery_environment):
    return dfinery_emulator


def application(**options):
    app = FastAPI(**options)

    @app.post("/visits/{user}")
    async def visit(user: str, dfinery: ProducerDep) -> None:
        await dfinery.track(user, "df_view_home")

    @app.post("/users/{user}")
    async def upsert(user: str, dfinery: ClientDep) -> None:
        await dfinery.upsert_identity(user)

    @app.websocket("/live")
    async def live(socket: WebSocket, dfinery: ProducerDep) -> None:
        await socket.accept()
        await dfinery.track(await socket.receive_text(), "df_login")
        await socket.close()

    return app


def test_what_endpoints_track_is_delivered_when_the_application_ends(emulator, caplog):
    caplog.set_level(logging.INFO, "dfinery_async")
    with TestClient(application(lifespan=lifespan(linger=60))) as http:
        assert http.post("/visits/u1").status_code == 200
        assert http.post("/users/u2").status_code == 200
        with http.websocket_connect("/live") as socket:
            socket.send_text("u3")
        assert emulator.events == []

    assert [(event["identity"]["external_id"], event["event_name"]) for event in emulator.events] == [
        ("u1", "df_view_home"),
        ("u3", "df_login"),
    ]
    assert [record.getMessage() for record in caplog.records] == ["all 2 events were delivered"]
    assert vars(caplog.records[0])["dfinery_accepted"] == 2


def test_it_may_stand_within_a_lifespan_of_ones_own(emulator):
    steps = []

    @asynccontextmanager
    async def own(app):
        async with lifespan()(app):
            steps.append("begin")
            yield {"mine": 1}
            steps.append("end")

    with TestClient(application(lifespan=own)) as http:
        http.post("/visits/u1")

    assert steps == ["begin", "end"]
    assert len(emulator.events) == 1


def test_what_is_left_at_the_end_is_told(emulator, caplog):
    emulator.inject("5xx=100%")
    with TestClient(application(lifespan=lifespan(drain=0))) as http:
        http.post("/visits/u1")

    (record,) = [record for record in caplog.records if record.name == "dfinery_async.fastapi"]
    assert record.getMessage() == "0 of 1 events were delivered; 0 were rejected, 1 dropped, 0 are in the spool"
    assert (record.levelname, vars(record)["dfinery_dropped"]) == ("WARNING", 1)


def test_missing_settings_are_an_error_at_the_start(monkeypatch):
    monkeypatch.delenv("DFINERY_SERVICE_ID", raising=False)

    async def start():
        async with lifespan()(FastAPI()):
            pass

    with pytest.raises(ConfigError, match="DFINERY_SERVICE_ID is not set"):
        asyncio.run(start())


def test_without_the_lifespan_the_error_names_it():
    app = application()

    @app.exception_handler(RuntimeError)
    async def told(request, error):
        return PlainTextResponse(str(error), 500)

    with TestClient(app) as http:
        assert "FastAPI(lifespan=lifespan())" in http.post("/visits/u1").text
