"""Replies of the import API, read as tolerantly as its pages disagree.

`code` comes as text or number, `data` as anything, failures with HTTP 200; a gateway may answer in the API's place with
HTML or nothing at all. API guide, "Detailed response".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dfinery_async.redact import safe_text

__all__ = ["Envelope", "Headers", "RawHeaders", "read_envelope", "read_export_failure"]

Headers = list[tuple[str, str]]
"""Headers of a reply: lower-case names, in order, duplicates kept."""


RawHeaders = list[tuple[bytes, bytes]]
"""The same as they came: in any case, not decoded."""


class Envelope(msgspec.Struct, frozen=True):
    """What an import reply says: `status` and `code` together make a success."""

    status: bool
    code: int
    message: str


class _Loose(msgspec.Struct):
    status: Any = None
    code: Any = None
    message: Any = None


class _LooseExport(msgspec.Struct):
    result: Any = None
    message: Any = None


_decode = msgspec.json.Decoder(_Loose).decode
_decode_export = msgspec.json.Decoder(_LooseExport).decode
_LONGEST_CODE = 9
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_envelope(body: bytes, secrets: Iterable[str] = ()) -> Envelope | None:
    """Read an import reply, or return `None` when it is not the API's. Of secrets in its message nothing is kept."""
    try:
        loose = _decode(body.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # msgspec lets the last two through
        return None
    code = _read_code(loose.code)
    if code is None or not isinstance(loose.status, bool):
        return None
    return Envelope(loose.status, code, safe_text(loose.message, secrets) if isinstance(loose.message, str) else "")


def read_export_failure(body: bytes, secrets: Iterable[str] = ()) -> str | None:
    """Read a failed export's message (`{"result": "fail", "message": …}`), or return `None` when it is none."""
    try:
        loose = _decode_export(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if loose.result != "fail" or not isinstance(loose.message, str):
        return None
    return safe_text(loose.message, secrets)


def _read_code(code: object) -> int | None:
    if isinstance(code, int) and not isinstance(code, bool):
        return code
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= _LONGEST_CODE:
        return int(code)
    return None
