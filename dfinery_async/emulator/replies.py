"""Answers in the forms of the vendor's samples."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dfinery_async.emulator.settings import Settings

# "Detailed response" of the Import API.
OK: Final = 20000
BAD_REQUEST: Final = 40000
VALIDATION_FAILURE: Final = 40001
INVALID_SERVICE_ID: Final = 40101
INVALID_TOKEN: Final = 40201
TOO_MANY_REQUEST: Final = 40401
TOO_MANY_EVENTS: Final = 40402
INTERNAL_SERVER_ERROR: Final = 50000

HTTP_BAD_REQUEST: Final = 400
HTTP_TOO_MANY: Final = 429

_MESSAGES: Final = {
    OK: "OK",
    BAD_REQUEST: "BAD_REQUEST",
    VALIDATION_FAILURE: "VALIDATION_FAILURE",
    INVALID_SERVICE_ID: "INVALID_SERVICE_ID",
    INVALID_TOKEN: "INVALID_TOKEN",  # a message, not a token
    TOO_MANY_REQUEST: "TOO_MANY_REQUEST",
    TOO_MANY_EVENTS: "TOO_MANY_EVENTS",
    40403: "TOO_MANY_USER_PROFILES",
    INTERNAL_SERVER_ERROR: "INTERNAL_SERVER_ERROR",
}
_JSON: Final = (b"content-type", b"application/json")

_HTML = b"""<!doctype html>
<html><head><title>Sign in</title></head><body><form><input name="user"></form></body></html>
"""


@dataclass(slots=True)
class Reply:
    """An answer to be sent.

    Attributes:
        status: the HTTP status.
        body: the whole body, or its parts as they are made.
        headers: headers beside those that say how long the body is and when it was sent.
        code: the code of the Import API.
        message: the message of either API.
    """

    status: int
    body: bytes | Iterator[bytes]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    code: int | None = None
    message: str | None = None


def import_reply(code: int, settings: Settings, *, status: int = 200, message: str | None = None) -> Reply:
    """An answer of the Import API.

    The samples of the endpoints have a string as code and `data` true, even in a failure; those of "Detailed
    response" have an integer and null.
    """
    text = message or _MESSAGES.get(code, "UNKNOWN")
    envelope: dict[str, Any] = {"status": code == OK, "code": str(code), "message": text, "data": True}
    if settings.code_type == "integer":
        envelope.update(code=code, data=None)
    return Reply(status, json.dumps(envelope).encode(), [_JSON], code, text)


def export_failure(status: int, message: str) -> Reply:
    """A failure of the Export API."""
    return Reply(status, failure_json(message), [_JSON], None, message)


def failure_json(message: str) -> bytes:
    """The body of a failure of the Export API."""
    return json.dumps({"result": "fail", "message": message}).encode()


def html_reply(status: int) -> Reply:
    """A web page where JSON or CSV is expected, as gateways and captive portals send."""
    return Reply(status, _HTML, [(b"content-type", b"text/html; charset=utf-8")])
