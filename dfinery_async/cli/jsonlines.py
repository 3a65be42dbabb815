"""Reading JSON Lines: one object a line, strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from dfinery_async.cli.lines import MAX_LINE, Line, LineSplitter
from dfinery_async.cli.records import (
    BadLine,
    Kind,
    LineError,
    Record,
    event_record,
    identity_record,
    profile_record,
)
from dfinery_async.core.nearest import nearest
from dfinery_async.redact import safe_text

__all__ = ["JsonLinesReader"]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Identity(_Strict, omit_defaults=True):
    external_id: str | None = None
    email: str | None = None
    phone_no: str | None = None
    kakao_user_id: str | None = None
    line_user_id: str | None = None


class _EventLine(_Strict):
    identity: _Identity
    event_name: str
    event_datetime: str
    event_properties: dict[str, Any] | None = None
    event_items: list[dict[str, Any]] | None = None
    event_log_id: str | None = None
    error: msgspec.Raw = msgspec.Raw()  # what an earlier load wrote beside a line that it could not deliver


class _ProfileLine(_Strict):
    identity: _Identity
    user_properties: dict[str, Any]
    error: msgspec.Raw = msgspec.Raw()


class _IdentityLine(_Strict):
    identity: _Identity
    error: msgspec.Raw = msgspec.Raw()


_LINES: Final[dict[Kind, type[_EventLine | _ProfileLine | _IdentityLine]]] = {
    "events": _EventLine,
    "profiles": _ProfileLine,
    "identities": _IdentityLine,
}
_as_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)  # msgspec lets the last two through

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPES = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
_PATH = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)\b")
_WORDS = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


class JsonLinesReader:
    """Takes chunks of a file, gives records and bad lines.

    Args:
        kind: what the file holds.
        max_line: bytes in one line.
    """

    def __init__(self, kind: Kind, *, max_line: int = MAX_LINE) -> None:
        self._kind: Kind = kind
        self._lines = LineSplitter(max_line)
        self._max_line = max_line
        self._decode = msgspec.json.Decoder(_LINES[kind]).decode

    def feed(self, chunk: bytes) -> Iterator[Record | BadLine]:
        """Read the lines that `chunk` completes."""
        return self._read(self._lines.feed(chunk))

    def finish(self) -> Iterator[Record | BadLine]:
        """Read the last line, when no line end came after it."""
        return self._read(self._lines.finish())

    def _read(self, lines: list[Line]) -> Iterator[Record | BadLine]:
        for number, text in lines:
            if text is None:
                yield BadLine(number, f"is longer than {self._max_line:,} bytes")
            elif text and not text.isspace():
                try:
                    yield self._record(number, text)
                except LineError as error:
                    yield _bad_line(number, text, error)

    def _record(self, number: int, text: bytes) -> Record:
        try:
            line = self._decode(text)
        except _UNDECODABLE as error:
            raise self._explain(text, error) from None
        identity = msgspec.structs.asdict(line.identity)
        match line:
            case _EventLine():
                return event_record(
                    number,
                    identity,
                    name=line.event_name,
                    moment=line.event_datetime,
                    properties=line.event_properties,
                    items=line.event_items,
                    log_id=line.event_log_id,
                )
            case _ProfileLine():
                return profile_record(identity, line.user_properties)
            case _:
                return identity_record(identity)

    def _explain(self, text: bytes, error: Exception) -> LineError:
        if isinstance(error, msgspec.ValidationError):
            return self._explain_shape(str(error))
        if isinstance(error, RecursionError):
            return LineError("is nested too deeply")
        byte = _BYTE.search(str(error))
        if isinstance(error, UnicodeError) or not _is_utf8(text):
            reason = "is not valid UTF-8"
        elif b"\x00" in text:
            reason = "holds a NUL byte; is the file really UTF-8?"
        elif _NO_NUMBER.search(text):
            reason = "NaN and infinities have no place in JSON; leave the property out"
        elif byte is None:
            reason = "is not whole JSON: it ends too early; a line holds one whole object"
        else:
            reason = f"is not valid JSON at byte {int(byte[1]) + 1}"
        return LineError(reason)

    def _explain_shape(self, message: str) -> LineError:
        path = None
        if parts := _PATH.fullmatch(message):
            message, path = parts[1], parts[2]
        if unknown := _UNKNOWN.fullmatch(message):
            known = _Identity if path == "identity" else _LINES[self._kind]
            name = safe_text(unknown[1])[:60]
            names = [each for each in known.__struct_fields__ if each != "error"]
            return LineError(f"is no field of {_owner(path, self._kind)}{nearest(name, names)}", _join(path, name))
        if missing := _MISSING.fullmatch(message):
            return LineError("is missing", _join(path, missing[1]))
        if types := _TYPES.fullmatch(message):
            wanted, got = types[1].removesuffix(" | null"), types[2]
            where = "" if path else "a line "
            return LineError(f"{where}must be {_WORDS.get(wanted, wanted)}, not {_WORDS.get(got, got)}", path)
        return LineError("is a number out of range", path)


def _bad_line(number: int, text: bytes, error: LineError) -> BadLine:
    try:
        return BadLine(number, error.reason, error.field, content=_as_object(text))
    except _UNDECODABLE:
        return BadLine(number, error.reason, error.field, text=text.decode(errors="replace"))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _owner(path: str | None, kind: Kind) -> str:
    return path or {"events": "an event", "profiles": "a profile", "identities": "an identity"}[kind]


def _join(path: str | None, name: str) -> str:
    return f"{path}.{name}" if path else name
