"""What tests of outcomes share: answers, and the tables of what codes and HTTP statuses mean."""

from __future__ import annotations

import json
from typing import Any

from dfinery_async import errors
from dfinery_async.core.outcome import Verdict

V = Verdict


def body(code: Any, message: Any = "", *, status: Any = False, data: Any = None) -> bytes:
    return json.dumps({"status": status, "code": code, "message": message, "data": data}).encode()


def fail(message: Any) -> bytes:
    return json.dumps({"result": "fail", "message": message}).encode()


CODES: list[tuple[int, str, Verdict, type[errors.ApiError], bool]] = [
    (40000, "BAD_REQUEST", V.REFUSED, errors.BadRequest, False),
    (40001, "VALIDATION_FAILURE", V.REFUSED, errors.ValidationFailure, False),
    (40101, "INVALID_SERVICE_ID", V.MISCONFIGURED, errors.InvalidServiceId, False),
    (40201, "INVALID_TOKEN", V.UNAUTHORIZED, errors.InvalidToken, False),
    (40401, "TOO_MANY_REQUEST", V.THROTTLED, errors.RateLimited, True),
    (40402, "TOO_MANY_EVENTS", V.TOO_LARGE, errors.TooManyEvents, False),
    (40403, "TOO_MANY_USER_PROFILES", V.TOO_LARGE, errors.TooManyProfiles, False),
    (50000, "INTERNAL_SERVER_ERROR", V.RETRY, errors.ServerError, True),
    # unlisted: the first digit says whose fault it is
    (40002, "NEW", V.REFUSED, errors.ApiError, False),
    (40999, "", V.REFUSED, errors.ApiError, False),
    (49999, "NEW", V.REFUSED, errors.ApiError, False),
    (50101, "KINESIS_SENDER_ERROR", V.RETRY, errors.ServerError, True),
    (59999, "NEW", V.RETRY, errors.ServerError, True),
]


UNREADABLE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"OK"',
    b"OK",
    b"<html><body>Sign in</body></html>",
    b'{"status":true,"code":2000',
    b'{"status":"true","code":20000}',
    b'{"status":1,"code":20000}',
    b'{"status":true}',
    b'{"code":20000}',
    b' \xef\xbb\xbf{"status":true,"code":20000}',
    b'{"status":true,"code":20000,"message":"\xff"}',
    b"[" * 100_000,
    b'{"status":true,"code":' + b"9" * 5000 + b"}",
]
STATUSES: list[tuple[int, Verdict, type[errors.DfineryError], bool]] = [
    (100, V.RETRY, errors.UnexpectedResponse, True),
    (103, V.RETRY, errors.UnexpectedResponse, True),
    (200, V.RETRY, errors.UnexpectedResponse, True),
    (201, V.RETRY, errors.UnexpectedResponse, True),
    (202, V.RETRY, errors.UnexpectedResponse, True),
    (204, V.RETRY, errors.UnexpectedResponse, True),
    *(
        (status, V.MISCONFIGURED, errors.UnexpectedResponse, False)
        for status in (300, 301, 302, 303, 304, 307, 308, 399)
    ),
    (400, V.REFUSED, errors.BadRequest, False),
    (401, V.UNAUTHORIZED, errors.InvalidToken, False),
    (403, V.UNAUTHORIZED, errors.InvalidToken, False),
    *(
        (status, V.MISCONFIGURED, errors.UnexpectedResponse, False)
        for status in (402, 404, 405, 406, 407, 410, 414, 415, 421, 431, 451, 499)
    ),
    (408, V.RETRY, errors.ServerError, True),
    (409, V.RETRY, errors.ServerError, True),
    (411, V.TOO_LARGE, errors.BadRequest, False),
    (413, V.TOO_LARGE, errors.TooManyEvents, False),
    (422, V.REFUSED, errors.ValidationFailure, False),
    (425, V.RETRY, errors.ServerError, True),
    (429, V.THROTTLED, errors.RateLimited, True),
    *((status, V.RETRY, errors.ServerError, True) for status in (500, 502, 503, 504, 507, 520, 522, 524, 530, 599)),
    (501, V.MISCONFIGURED, errors.UnexpectedResponse, False),
    (505, V.MISCONFIGURED, errors.UnexpectedResponse, False),
    (600, V.RETRY, errors.UnexpectedResponse, True),
    (999, V.RETRY, errors.UnexpectedResponse, True),
    (0, V.RETRY, errors.UnexpectedResponse, True),
    (-1, V.RETRY, errors.UnexpectedResponse, True),
]
