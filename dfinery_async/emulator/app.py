"""The ASGI application: Host check, routing, faults on the wire, records of what came."""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from dfinery_async.emulator.api import ENDPOINTS, Api, Call, event_count, read
from dfinery_async.emulator.misfires import misfire
from dfinery_async.emulator.records import RequestRecord
from dfinery_async.emulator.replies import Reply, failure_json
from dfinery_async.emulator.shapes import is_array, is_object
from dfinery_async.emulator.wire import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from dfinery_async.emulator.faults import Fault, FaultBoard

_LOOPBACK_HOST = re.compile(rb"localhost|\[::1\]|127(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}", re.IGNORECASE)
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class App:
    """Answers calls over ASGI.

    Args:
        api: the service behind it.
        board: the faults in force.
        record: takes the record of each request, before its answer is sent.
        pages: answers what is not the API's.
        stop: set when the emulator stops.
    """

    def __init__(
        self,
        api: Api,
        board: FaultBoard,
        *,
        record: Callable[[RequestRecord], None],
        pages: ASGIApp,
        stop: asyncio.Event,
    ) -> None:
        self._api = api
        self._board = board
        self._record = record
        self._stop = stop
        self._pages = pages
        self._exports = 0
        self._date = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        path: str = scope["path"]
        if not _is_loopback(headers.get(b"host", b"")):
            # A page from elsewhere whose name was pointed at this machine (DNS rebinding) sends its own name.
            reply = Reply(403, b"This emulator answers only requests for a loopback host.\n", [_TEXT])
        elif path not in ENDPOINTS:
            await self._pages(scope, receive, send)
            return
        elif scope["method"] != "POST":
            reply = Reply(405, b"POST only.\n", [_TEXT, (b"allow", b"POST")])
        else:
            await self._call(scope, headers, receive, send)
            return
        self._note(scope, None, reply, None)
        await self._send(reply, scope, send)

    async def _call(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        family = ENDPOINTS[path]
        generation = self._api.generation
        plan = self._board.plan(family, path)
        if plan.fault is not None and plan.fault.kind == "reset":
            self._note(scope, None, None, plan.name)
            reset(_transport(scope))
            await _gone(receive)
            return
        admitted = family != "exports" or self._exports < self._api.settings.exports_at_once
        holds_slot = family == "exports" and admitted
        self._exports += holds_slot
        try:
            content = await _read(receive)
            if content is not None:
                call = Call(path, scope["query_string"], headers, content, plan, admitted)
                await self._pause(plan.seconds)
                if generation == self._api.generation:
                    await self._answer(call, scope, receive, send)
                else:
                    # It came before a reset: what it carries belongs to another test.
                    _transport(scope).abort()
        finally:
            self._exports -= holds_slot

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        fault = call.plan.fault
        if fault is None:
            reply = self._api.answer(call)
            self._note(scope, call, reply, call.plan.name)
            await self._send(reply, scope, send)
        elif fault.kind == "hang":
            read(call)
            self._note(scope, call, None, fault.kind)
            await _gone(receive)
        else:
            reply = misfire(fault, call, self._api)
            self._note(scope, call, None if fault.kind == "lost_answer" else reply, fault.kind)
            if fault.kind in {"lost_answer", "raw"}:
                transport = _transport(scope)
                transport.write(b"" if fault.kind == "lost_answer" else fault.payload)
                transport.close()
                await _gone(receive)
            elif fault.kind == "truncate":
                await self._send_cut(fault, reply, scope, receive, send)
            elif fault.kind == "drip":
                await self._send_slowly(fault, reply, scope, send)
            else:
                await self._send(reply, scope, send)

    async def _send(self, reply: Reply, scope: Scope, send: Send) -> None:
        headers = [*reply.headers, (b"date", self._now())]
        body = reply.body
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        transport = _transport(scope)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for part in body:
            if transport.is_closing():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
            # A long export leaves room for other calls, also while its reader keeps up.
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    async def _send_slowly(self, fault: Fault, reply: Reply, scope: Scope, send: Send) -> None:
        body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        headers = [*reply.headers, (b"date", self._now()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for place in range(len(body)):
            await self._pause(fault.seconds)
            if _transport(scope).is_closing():
                return
            await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _send_cut(self, fault: Fault, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        body = [reply.body] if isinstance(reply.body, bytes) else reply.body
        parts = _head(body, fault.size)
        if fault.form == "json":
            # "Detailed response" of the Export API lists this failure with HTTP 200.
            cut = Reply(reply.status, chain(parts, [failure_json("client_connection_closed")]), reply.headers)
            await self._send(cut, scope, send)
            return
        transport = _transport(scope)
        headers = [*reply.headers, (b"date", self._now())]
        if fault.form == "close":
            lines = [b"HTTP/1.1 %d " % reply.status, *(b"%s: %s" % header for header in headers), b"connection: close"]
            transport.write(b"\r\n".join([*lines, b"", b"".join(parts)]))
        else:
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        if fault.form == "reset":
            reset(transport)
        else:
            transport.close()
        await _gone(receive)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            try:
                async with asyncio.timeout(seconds):
                    await self._stop.wait()
            except TimeoutError:
                pass

    def _now(self) -> bytes:
        second = int(self._api.settings.clock())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]

    def _note(self, scope: Scope, call: Call | None, reply: Reply | None, fault: str | None) -> None:
        settings = self._api.settings
        body = call.body if call else None
        identity, events, items = _outline(body)
        self._record(
            RequestRecord(
                at=settings.clock(),
                method=scope["method"],
                path=scope["path"],
                family=ENDPOINTS.get(scope["path"]),
                status=reply.status if reply else None,
                code=reply.code if reply else None,
                message=reply.message if reply else None,
                identity=identity,
                event_count=events,
                item_count=items,
                body=body if settings.keep_bodies else None,
                problems=tuple(call.problems) if call else (),
                fault=fault,
                raw_headers=tuple(scope["headers"]),
            )
        )


def _transport(scope: Scope) -> asyncio.Transport:
    return cast("asyncio.Transport", scope["state"]["transport"])


def _is_loopback(host: bytes) -> bool:
    name, colon, port = host.rpartition(b":")
    return _LOOPBACK_HOST.fullmatch(name if colon and port.isdigit() else host) is not None


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when the caller has hung up."""
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        return cast("bytes", message["body"])
    parts: list[bytes] = []
    while message["type"] == "http.request":
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)
        message = await receive()
    return None


async def _gone(receive: Receive) -> None:
    """Wait until the connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(parts: Iterator[bytes] | list[bytes], size: int) -> Iterator[bytes]:
    """The first bytes of a body."""
    for part in parts:
        if size <= 0:
            return
        yield part[:size]
        size -= len(part)


def _outline(body: Any) -> tuple[dict[str, Any] | None, int, int]:
    """Identity, number of events and number of items of a body of whatever form."""
    if not is_object(body):
        return None, 0, 0
    holder = body.get("common", body)
    identity = holder.get("identity") if is_object(holder) else None
    count = event_count(body)
    items = 0
    for event in body["events"] if count else ():
        of_event = event.get("event_items") if is_object(event) else None
        items += len(of_event) if is_array(of_event) else 0
    return identity if is_object(identity) else None, count, items
