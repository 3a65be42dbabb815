"""Whether somebody has put something of theirs between a request and the network.

Mocks (respx) and tracers patch the HTTP library's classes. Going round what they patched would send a test's requests
to the real API, so we look before every request, and let the library's own way be gone instead.
"""

from __future__ import annotations

import sys

import httpcore
import httpx

__all__ = ["is_patched"]

_METHOD = "handle_async_request"
_stock: list[object] = []  # what the two classes hold when nobody has touched them; empty until it was seen


def is_patched() -> bool:
    """Say whether the pool of httpcore or the transport of httpx is not the library's own at this moment."""
    now = (httpcore.AsyncConnectionPool.handle_async_request, httpx.AsyncHTTPTransport.handle_async_request)
    if not _stock:
        if not all(_is_own(method) for method in now):
            return True  # we were imported in the middle of it
        _stock.extend(now)
    return now[0] is not _stock[0] or now[1] is not _stock[1]


def _is_own(method: object) -> bool:
    """Whether the library's own file has made it."""
    code = getattr(method, "__code__", None)
    module = sys.modules.get(getattr(method, "__module__", ""))
    return code is not None and getattr(module, "__file__", None) == code.co_filename and code.co_name == _METHOD
