"""A small web service that tracks what it is asked to, with one spool folder for all of its workers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dfinery_async import DfineryClient, Event, Producer

_producers: list[Producer] = []


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with DfineryClient.from_env() as client, client.producer(spool=os.environ["SPOOL"]) as producer:
        _producers.append(producer)
        yield


async def track(request: Request) -> JSONResponse:
    user, number = request.path_params["user"], request.path_params["number"]
    await _producers[0].track(user, Event("e", properties={"n": number}))
    return JSONResponse({"pid": os.getpid()})


app = Starlette(lifespan=lifespan, routes=[Route("/track/{user}/{number:int}", track, methods=["POST"])])
