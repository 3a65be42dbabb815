"""FastAPI: a client and a producer for as long as the application runs, and the dependencies that give them.

    from fastapi import FastAPI
    from dfinery_async.integrations.fastapi import ProducerDep, lifespan

    app = FastAPI(lifespan=lifespan())

    @app.post("/login/{user}")
    async def login(user: str, dfinery: ProducerDep) -> None:
        await dfinery.track(user, "df_login")

Each worker process has a producer of its own. When the server ends, for a deploy or a reload, it answers the requests
that it has, and then the producer delivers what it holds.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeAlias

import msgspec

try:
    from fastapi import Depends, FastAPI
    from fastapi.requests import HTTPConnection
except ImportError as _missing:
    raise ImportError("the FastAPI integration needs FastAPI: pip install 'dfinery-async[fastapi]'") from _missing

from dfinery_async.client import DfineryClient
from dfinery_async.models import Report
from dfinery_async.runtime.producer import Producer

__all__ = ["ClientDep", "ProducerDep", "lifespan"]

_log = logging.getLogger("dfinery_async.fastapi")


class _Held(msgspec.Struct, frozen=True):
    """What an application holds while it runs."""

    client: DfineryClient
    producer: Producer


def lifespan(
    client: Callable[[], DfineryClient] = DfineryClient.from_env, *, drain: float = 20.0, **options: Any
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Make a lifespan for `FastAPI(lifespan=…)`, or to be entered within a lifespan of your own.

    Args:
        client: makes the client, in each process; by default from the variables `DFINERY_…`.
        drain: seconds that what was accepted has to be delivered when the application ends. Keep it, together with the
            server's own time for open requests, below the time after which the process is killed. What is left then
            is told in the log; with a spool it is kept, without one it is lost.
        **options: as for `DfineryClient.producer`. With `spool="folder"` what was accepted outlives the process: each
            worker has a part of the folder to itself, and takes over those of workers that are gone.
    """

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncGenerator[None]:
        async with client() as opened, opened.producer(**options) as producer:
            app.state.dfinery = _Held(opened, producer)
            try:
                yield
            finally:
                _tell(await producer.aclose(drain))
                del app.state.dfinery

    return run


def _tell(report: Report) -> None:
    figures = {f"dfinery_{name}": value for name, value in report.to_dict().items()}
    if report.delivered == report.accepted:
        _log.info("all %d events were delivered", report.accepted, extra=figures)
    else:
        message = "%d of %d events were delivered; %d were rejected, %d dropped, %d are in the spool"
        counts = report.delivered, report.accepted, report.rejected, report.dropped, report.spooled
        _log.warning(message, *counts, extra=figures)


def _held(connection: HTTPConnection) -> _Held:
    held: _Held | None = getattr(connection.app.state, "dfinery", None)
    if held is None:
        raise RuntimeError("the application holds no producer: FastAPI(lifespan=lifespan()) makes one")
    return held


def _producer(held: Annotated[_Held, Depends(_held)]) -> Producer:
    return held.producer


def _client(held: Annotated[_Held, Depends(_held)]) -> DfineryClient:
    return held.client


ProducerDep: TypeAlias = Annotated[Producer, Depends(_producer)]
"""The application's producer, as a dependency: `async def endpoint(dfinery: ProducerDep)`."""

ClientDep: TypeAlias = Annotated[DfineryClient, Depends(_client)]
"""The application's client, for direct calls."""
