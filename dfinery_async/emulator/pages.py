"""The pages for people; everything that is not the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>DFINERY emulator</title></head>
<body>
<h1>DFINERY emulator</h1>
<p>A local stand-in for the DFINERY API, for development and tests. It keeps everything in memory and reaches no
one.</p> <p>Point a client at this address. The API answers at <code>POST /api/v1/…</code>.</p> </body> </html>
"""


async def _home(_request: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE)


def pages() -> Starlette:
    """The pages as an ASGI application."""
    return Starlette(routes=[Route("/", _home)])
