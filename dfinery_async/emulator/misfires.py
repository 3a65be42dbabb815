"""Answers that injected faults give in place of the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfinery_async.emulator import replies
from dfinery_async.emulator.api import read
from dfinery_async.emulator.limits import Standing
from dfinery_async.emulator.replies import Reply, export_failure, html_reply, import_reply

if TYPE_CHECKING:
    from dfinery_async.emulator.api import Api, Call
    from dfinery_async.emulator.faults import Fault

# The first of HTTP's redirects and server errors, and the statuses that have no body.
_REDIRECTS = 300
_SERVER_ERRORS = 500
_WITHOUT_BODY = frozenset({204, 205, 304})


def misfire(fault: Fault, call: Call, api: Api) -> Reply:
    """The answer to a call that a fault has hit; kinds without an answer of their own get the API's."""
    if fault.processed:
        api.answer(call)
    else:
        read(call)  # so that the record tells whom the fault has hit
    match fault.kind:
        case "status":
            reply = _status(fault, call, api)
        case "code" if call.family == "exports":
            reply = export_failure(fault.status or 200, fault.message or "client_connection_closed")
        case "code":
            reply = import_reply(fault.code, api.settings, status=fault.status or 200, message=fault.message)
        case "html":
            reply = html_reply(fault.status or 200)
        case "redirect":
            reply = Reply(fault.status or 307, b"", [(b"location", fault.location.encode())])
        case "raw":
            reply = Reply(fault.status or 200, fault.payload)
        case "throttle":
            reply = _throttle(fault, call, api)
        case _:
            return api.answer(call)
    if fault.retry_after is not None:
        reply.headers.append((b"retry-after", fault.retry_after.encode()))
    return reply if fault.kind == "raw" else api.with_limit(call, reply)


def _status(fault: Fault, call: Call, api: Api) -> Reply:
    status = fault.status or 500
    if fault.body == "html":
        return html_reply(status)
    if fault.body == "empty" or status in _WITHOUT_BODY:
        return Reply(status, b"")
    if call.family == "exports":
        reply = export_failure(status, fault.message or "unknown_error")
    else:
        code = replies.BAD_REQUEST
        if status >= _SERVER_ERRORS:
            code = replies.INTERNAL_SERVER_ERROR
        elif status < _REDIRECTS:
            code = replies.OK
        reply = import_reply(code, api.settings, status=status, message=fault.message)
    if fault.body == "broken" and isinstance(reply.body, bytes):
        reply.body = reply.body[: len(reply.body) // 2]
    return reply


def _throttle(fault: Fault, call: Call, api: Api) -> Reply:
    standing = call.standing or api.limiter.take(call.family, 0, api.settings)
    if standing is not None:
        reset = api.settings.clock() + fault.seconds if fault.seconds else standing.reset
        call.standing = Standing(allowed=False, quota=standing.quota, remaining=0, reset=reset)
    return api.throttled(call)
