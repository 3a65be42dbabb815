"""What an answer means: the classification table as data, and one closed set of verdicts.

The API's pages list every failure under HTTP 200 as well as under statuses of their own, so a readable envelope decides
first and the HTTP status only where there is none.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from dfinery_async import errors
from dfinery_async.core.reply import Envelope, read_envelope, read_export_failure
from dfinery_async.errors import DfineryError

__all__ = ["DELIVERED", "Outcome", "Verdict", "classify", "classify_export", "connection_failed"]

SUCCESS = 20000
_UNREADABLE = "the answer is not the API's: {}"


class Verdict(enum.Enum):
    """What becomes of the work that a request carried."""

    DELIVERED = "delivered"
    """Confirmed: a success needs HTTP 2xx, `status` true and 20000."""
    RETRY = "retry"
    """Passing trouble: the same bytes again, after a backoff."""
    THROTTLED = "throttled"
    """The quota is used up: the same bytes again, after its reset."""
    REFUSED = "refused"
    """Something in it is bad: divide until the bad one stands alone, then reject it."""
    TOO_LARGE = "too large"
    """Divide, and make smaller requests from now on."""
    UNAUTHORIZED = "unauthorized"
    """The token is refused: nothing gets through until there is a new one."""
    MISCONFIGURED = "misconfigured"
    """The address or the service id is wrong: nothing gets through."""


class Outcome(msgspec.Struct, frozen=True):
    """A verdict, and the error behind it (`None` for a delivery)."""

    verdict: Verdict
    error: DfineryError | None = None
    retry_after: float | None = None
    """Seconds for which the answer asked to be left alone."""
    stale: bool = False
    """A kept connection turned out to be closed: worth one more try at once."""


DELIVERED = Outcome(Verdict.DELIVERED)

_CODES: dict[int, tuple[Verdict, type[errors.ApiError]]] = {
    40000: (Verdict.REFUSED, errors.BadRequest),
    40001: (Verdict.REFUSED, errors.ValidationFailure),
    40101: (Verdict.MISCONFIGURED, errors.InvalidServiceId),
    40201: (Verdict.UNAUTHORIZED, errors.InvalidToken),
    40401: (Verdict.THROTTLED, errors.RateLimited),
    40402: (Verdict.TOO_LARGE, errors.TooManyEvents),
    40403: (Verdict.TOO_LARGE, errors.TooManyProfiles),
    50000: (Verdict.RETRY, errors.ServerError),
}

_STATUSES: dict[int, tuple[Verdict, type[errors.ApiError]]] = {
    400: (Verdict.REFUSED, errors.BadRequest),
    401: (Verdict.UNAUTHORIZED, errors.InvalidToken),
    403: (Verdict.UNAUTHORIZED, errors.InvalidToken),
    408: (Verdict.RETRY, errors.ServerError),
    409: (Verdict.RETRY, errors.ServerError),
    411: (Verdict.TOO_LARGE, errors.BadRequest),
    413: (Verdict.TOO_LARGE, errors.TooManyEvents),
    422: (Verdict.REFUSED, errors.ValidationFailure),
    425: (Verdict.RETRY, errors.ServerError),
    429: (Verdict.THROTTLED, errors.RateLimited),
}

_EXPORT_MESSAGES: dict[str, tuple[Verdict, type[errors.ApiError]]] = {
    "client_connection_closed": (Verdict.RETRY, errors.ExportInterrupted),
    "invalid_parameter": (Verdict.REFUSED, errors.BadRequest),
    "exceed_date_range_limit": (Verdict.REFUSED, errors.DateRangeExceeded),
    "unauthorized_token": (Verdict.UNAUTHORIZED, errors.InvalidToken),
    "too_many_api_requests": (Verdict.THROTTLED, errors.RateLimited),
    "unknown_error": (Verdict.RETRY, errors.ServerError),
    "query_error": (Verdict.REFUSED, errors.QueryFailed),
}

_NEVER_SERVED = {501, 505}


def classify(status: int, body: bytes, retry_after: float | None = None, *, secrets: Iterable[str] = ()) -> Outcome:
    """Say what an answer of an import call means.

    Args:
        status: HTTP status.
        body: the whole answer.
        retry_after: seconds for which the answer asked to be left alone.
        secrets: what no error may show, whatever the answer's message repeats.
    """
    outcome = _meaning(status, body, secrets)
    if retry_after is None or outcome.verdict is Verdict.DELIVERED:
        return outcome
    return msgspec.structs.replace(outcome, retry_after=retry_after)


def _meaning(status: int, body: bytes, secrets: Iterable[str]) -> Outcome:
    envelope = read_envelope(body, secrets)
    if envelope is None:
        return _by_status(status)
    if envelope.code == SUCCESS:
        return _success_or_contradiction(status, envelope)
    if envelope.status and _known(status, envelope.code) is None:
        return _contradiction(status, envelope)
    return _by_code(status, envelope)


def classify_export(
    status: int, body: bytes, retry_after: float | None = None, *, secrets: Iterable[str] = ()
) -> Outcome:
    """Say what a failed answer of an export call means.

    Args:
        status: HTTP status.
        body: the whole answer, or as much as was read.
        retry_after: seconds for which the answer asked to be left alone.
        secrets: what no error may show, whatever the answer's message repeats.
    """
    outcome = _failed_export(status, body, secrets)
    return outcome if retry_after is None else msgspec.structs.replace(outcome, retry_after=retry_after)


def _failed_export(status: int, body: bytes, secrets: Iterable[str]) -> Outcome:
    message = read_export_failure(body, secrets)
    if message is None:
        envelope = read_envelope(body, secrets)  # no export failure is documented for a wrong service id, say
        if envelope is not None and not envelope.status and envelope.code != SUCCESS:
            return _by_code(status, envelope)
        if not 200 <= status <= 299:
            return _by_status(status)
        if body.startswith(b"{"):
            return Outcome(Verdict.RETRY, errors.ExportInterrupted("the answer broke off in a failure", status=status))
        problem = "a web page" if body.startswith(b"<") else "neither CSV nor a failure"
        return _strange(Verdict.RETRY, problem, status, retryable=True)
    verdict, kind = _EXPORT_MESSAGES.get(message, (Verdict.REFUSED, errors.ExportError))
    if message not in _EXPORT_MESSAGES and status in _STATUSES:
        verdict, kind = _STATUSES[status]
    elif message not in _EXPORT_MESSAGES and status >= 500:
        verdict, kind = Verdict.RETRY, errors.ServerError
    return Outcome(verdict, kind(message, status=status))


def connection_failed(text: str, *, ambiguous: bool) -> Outcome:
    """Say what it means that no answer came. Ambiguous: the API may have processed the request."""
    return Outcome(Verdict.RETRY, errors.ConnectionFailed(text, ambiguous=ambiguous))


def _success_or_contradiction(status: int, envelope: Envelope) -> Outcome:
    if not envelope.status:
        return _contradiction(status, envelope)
    if 200 <= status <= 299:
        return DELIVERED
    return _strange(Verdict.RETRY, "20000 under another status than HTTP 2xx", status, retryable=True)


def _contradiction(status: int, envelope: Envelope) -> Outcome:
    problem = f"status {str(envelope.status).lower()} with code {envelope.code}"
    return _strange(Verdict.RETRY, problem, status, retryable=True)


def _by_code(status: int, envelope: Envelope) -> Outcome:
    known = _known(status, envelope.code)
    if known is None:
        return _by_status(status)
    verdict, kind = known
    return Outcome(verdict, kind(envelope.message, status=status, code=envelope.code))


def _known(status: int, code: int) -> tuple[Verdict, type[errors.ApiError]] | None:
    return _CODES.get(code) or _unlisted(status, code)


def _unlisted(status: int, code: int) -> tuple[Verdict, type[errors.ApiError]] | None:
    """Unlisted codes exist (the SDKs know 50101): the first of five digits says whose fault it is."""
    if 50000 <= code <= 59999:
        return Verdict.RETRY, errors.ServerError
    if not 40000 <= code <= 49999:
        return None  # no code of this API; the HTTP status is all that is known
    if 200 <= status <= 299 or status in {400, 422}:
        return Verdict.REFUSED, errors.ApiError
    if status in _STATUSES:
        return _STATUSES[status]
    if 500 <= status <= 599 and status not in _NEVER_SERVED:
        return Verdict.RETRY, errors.ServerError
    # The address may be wrong: what it refuses is not lost.
    return Verdict.MISCONFIGURED, errors.ApiError


def _by_status(status: int) -> Outcome:
    known = _STATUSES.get(status)
    if known is not None:
        verdict, kind = known
        return Outcome(verdict, kind(_HTTP_TEXTS.get(status, ""), status=status))
    if status in _NEVER_SERVED:
        return _strange(Verdict.MISCONFIGURED, "this address does not serve the API", status, retryable=False)
    if 500 <= status <= 599:
        return Outcome(Verdict.RETRY, errors.ServerError("server error", status=status))
    if 300 <= status <= 399:
        return _strange(
            Verdict.MISCONFIGURED, "a redirect, which is never followed; check base_url", status, retryable=False
        )
    if 400 <= status <= 499:
        return _strange(
            Verdict.MISCONFIGURED, "check base_url; this address does not serve the API", status, retryable=False
        )
    return _strange(Verdict.RETRY, "no readable envelope", status, retryable=True)


def _strange(verdict: Verdict, problem: str, status: int, *, retryable: bool) -> Outcome:
    return Outcome(verdict, errors.UnexpectedResponse(_UNREADABLE.format(problem), status=status, retryable=retryable))


_HTTP_TEXTS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    408: "request time-out",
    409: "conflict",
    411: "length required",
    413: "request too large",
    422: "unprocessable",
    425: "too early",
    429: "too many requests",
}
