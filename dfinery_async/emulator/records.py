"""Records of the requests that the emulator has received."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from dfinery_async.emulator import replies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dfinery_async.emulator.validate import Problem

Outcome = Literal["accepted", "refused", "throttled", "failed"]

_SERVER_ERRORS: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestRecord:
    """A request, and how it was answered.

    Attributes:
        at: when it came, by the emulator's clock.
        method: the HTTP method.
        path: the path.
        family: "events", "identities", "profiles" or "exports"; None for anything that is not the API's.
        status: the HTTP status of the answer; None when there was none.
        code: the Import API's code.
        message: the message of either API.
        identity: the identity in the body.
        event_count: how many events were in the body.
        item_count: how many items were in those.
        body: the parsed body; None when it can't be parsed, or when bodies are not kept.
        problems: what was wrong with the body, field by field; the API itself tells none of it.
        fault: kind of the injected fault that hit it.
        raw_headers: the headers as they came.
    """

    at: float
    method: str
    path: str
    family: str | None
    status: int | None
    code: int | None
    message: str | None
    identity: Mapping[str, Any] | None
    event_count: int
    item_count: int
    body: Any = field(repr=False)
    problems: tuple[Problem, ...]
    fault: str | None
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lower-case name."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def outcome(self) -> Outcome:
        """What became of it.

        "accepted": carried out, and said so. "refused": the API's no. "throttled": over a limit. "failed": no answer, a
        server error, or an answer that is not the API's or not whole; whether it was carried out its caller can't know.
        """
        status, code = self.status, self.code
        if status is None or self.fault == "truncate":
            return "failed"
        if code == replies.OK or (self.family == "exports" and self.message == "OK"):
            return "accepted"
        if code == replies.TOO_MANY_REQUEST or status == replies.HTTP_TOO_MANY:
            return "throttled"
        if replies.BAD_REQUEST <= (code or 0) < replies.INTERNAL_SERVER_ERROR:
            return "refused"
        return "refused" if code is None and replies.HTTP_BAD_REQUEST <= status < _SERVER_ERRORS else "failed"
