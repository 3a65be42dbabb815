"""The page for people, and what it asks for; everything that is not the API's.

The page is the emulator's own and nobody else's: it loads nothing from anywhere, and what changes something takes a
header that no other site's page can send without being asked first, which gets no leave.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dfinery_async.emulator.desk import Desk

# The header of calls that change something; a page of another origin would have to ask before it sends it.
GUARD: Final = "x-dfinery-emulator"

_STATIC: Final = Path(__file__).parent / "static"
_DESCRIPTION: Final = Path(__file__).with_name("openapi.yaml")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_LONGEST_BODY: Final = 4096
_READING: Final = frozenset({"GET", "HEAD"})


def pages(desk: Desk) -> ASGIApp:
    """The pages as an ASGI application."""
    answers = _Answers(desk)
    return _Guarded(
        Starlette(
            routes=[
                *(Route(path, answers.file) for path in answers.files),
                Route("/page/live", answers.live),
                Route("/page/connection", answers.connection),
                Route("/page/requests", answers.requests),
                Route("/page/requests/{number:int}", answers.request),
                Route("/page/events", answers.events),
                Route("/page/events/{number:int}", answers.event),
                Route("/page/profiles", answers.profiles),
                Route("/page/profiles/{unified_id}", answers.profile),
                Route("/page/faults", answers.inject, methods=["POST"]),
                Route("/page/faults/{number:int}", answers.remove, methods=["DELETE"]),
                Route("/page/reset", answers.reset, methods=["POST"]),
            ]
        )
    )


class _Answers:
    """One method for each address; what it says comes from the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.files = {f"/{path.name}": path for path in _STATIC.iterdir() if path.suffix in _TYPES}
        self.files["/"] = self.files.pop("/index.html")
        self.files[f"/{_DESCRIPTION.name}"] = _DESCRIPTION

    async def file(self, request: Request) -> Response:
        return _file(self.files[request.url.path])

    async def live(self, _request: Request) -> Response:
        return _json(self._desk.live())

    async def connection(self, _request: Request) -> Response:
        return _json(self._desk.connection())

    async def requests(self, request: Request) -> Response:
        outcome = request.query_params.get("outcome", "")
        return _json(await asyncio.to_thread(self._desk.requests, _search(request), outcome, _before(request)))

    async def events(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.events, _search(request), _before(request)))

    async def profiles(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.profiles, _search(request), _before(request)))

    async def request(self, request: Request) -> Response:
        return _json(self._desk.request(request.path_params["number"]))

    async def event(self, request: Request) -> Response:
        return _json(self._desk.event(request.path_params["number"]))

    async def profile(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.profile, request.path_params["unified_id"]))

    async def inject(self, request: Request) -> Response:
        text = (await request.body()).decode("utf-8", "replace")
        try:
            self._desk.inject(text)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json(self._desk.live())

    async def remove(self, request: Request) -> Response:
        self._desk.remove(request.path_params["number"])
        return _json(self._desk.live())

    async def reset(self, _request: Request) -> Response:
        self._desk.reset()
        return _json(self._desk.live())


class _Guarded:
    """Refuses calls from other sites' pages, and adds the headers that keep the page to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        reason = _refusal(scope)
        app = self._app if reason is None else Response(f"{reason}\n", 403)
        await app(scope, receive, send_guarded)


def _refusal(scope: Scope) -> str | None:
    """Why a call is none of the page's own; None when it may be."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is not None and origin != b"http://" + headers.get(b"host", b""):
        return "This is for the emulator's own page."
    # A link from elsewhere may open the page, but nothing else.
    if scope["path"] != "/" and headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
        return "This is for the emulator's own page."
    if scope["method"] in _READING or not scope["path"].startswith("/page/"):
        return None
    if GUARD.encode() not in headers:
        return f"A call that changes something needs the header {GUARD}."
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not length.isdigit() or int(length) > _LONGEST_BODY:
        return "The body is too long."
    return None


def _file(path: Path) -> Response:
    return Response(path.read_bytes(), headers={"content-type": _TYPES[path.suffix]})


def _json(value: Any, status: int = 200) -> Response:
    if value is None:
        return Response(b'{"error": "not there, or no longer kept"}', 404, media_type="application/json")
    # Escaped, since what callers send may hold lone surrogates.
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")


def _search(request: Request) -> str:
    return request.query_params.get("q", "")


def _before(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    return int(text) if _NUMBER.fullmatch(text) else None
