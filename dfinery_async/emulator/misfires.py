"""Answers that injected faults give in place of the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfinery_async.emulator import replies
from dfinery_async.emulator.limits import Standing
from dfinery_async.emulator.replies import Reply, export_failure, html_reply, import_reply

if TYPE_CHECKING:
    from dfinery_async.emulator.api import Api, Call
    from dfinery_async.emulator.faults import Fault

_SERVER_ERRORS = 500  # the first of HTTP's


def misfire(fault: Fault, call: Call, api: Api) -> Reply:
    """The answer to a call that a fault has hit; kinds without an answer of their own get the API's."""
    if fault.processed:
        api.answer(call)
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
    if fault.body == "empty":
        return Reply(status, b"")
    if call.family == "exports":
        reply = export_failure(status, fault.message or "unknown_error")
    else:
        code = replies.INTERNAL_SERVER_ERROR if status >= _SERVER_ERRORS else replies.BAD_REQUEST
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
