"""Every error that this library raises on purpose.

    DfineryError
      ConfigError                     settings that cannot work
      InvalidInputError (ValueError)  a value that the API has no room for
      ClientClosed                    used after it was closed
      QueueFull                       the producer has no room and was told not to wait
      ApiError                        the API answered with a failure
        BadRequest                    40000, HTTP 400
        ValidationFailure             40001
        InvalidServiceId              40101
        InvalidToken                  40201, HTTP 401 and 403
        RateLimited                   40401, HTTP 429
        TooManyEvents                 40402
        TooManyProfiles               40403
        ServerError                   50000, unlisted 5xxxx, HTTP 5xx
        ExportError
          DateRangeExceeded           the start lies too far back
          QueryFailed                 the query of the export failed
          ExportInterrupted           the answer broke off before its end
      ConnectionFailed                network trouble and time-outs
      UnexpectedResponse              an answer that is not the API's
      DeliveryError                   what a receipt raises; its cause is one of the above
      SpoolError
        SpoolFull
        SpoolCorrupt
        SpoolLocked

No error carries a token, a body, or personal data of a user: messages name fields, never their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dfinery_async.redact import safe_text

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ApiError",
    "BadRequest",
    "ClientClosed",
    "ConfigError",
    "ConnectionFailed",
    "DateRangeExceeded",
    "DeliveryError",
    "DfineryError",
    "ExportError",
    "ExportInterrupted",
    "InvalidInputError",
    "InvalidServiceId",
    "InvalidToken",
    "QueryFailed",
    "QueueFull",
    "RateLimited",
    "ServerError",
    "SpoolCorrupt",
    "SpoolError",
    "SpoolFull",
    "SpoolLocked",
    "TooManyEvents",
    "TooManyProfiles",
    "UnexpectedResponse",
    "ValidationFailure",
]


class DfineryError(Exception):
    """Root of all errors of this library.

    Attributes:
        retryable: whether the same call may succeed later.
        delivered: for `send_events`, how many of the events, counted from the first, were confirmed before it failed.
        refused: for `send_events`, the indexes of the events in the request that failed; those after it were not sent.
    """

    retryable: bool = False
    delivered: int | None = None
    refused: range | None = None


class ConfigError(DfineryError):
    """Settings that cannot work: a missing token, a malformed address, a number out of range."""


class InvalidInputError(DfineryError, ValueError):
    """A value that the API has no room for, found before anything was queued or sent.

    Attributes:
        field: where the value stands, such as `properties.df_price` or `items[3].df_quantity`; a name in it that looks
            like an address or a phone number is not shown.
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field: str | None = None if field is None else safe_text(field)  # a name may be an address, too

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.field}: {text}" if self.field else text


class ClientClosed(DfineryError):
    """The client or producer was closed before or during this call."""


class QueueFull(DfineryError):
    """The producer holds as many events or bytes as it may, and the call was told not to wait."""

    retryable = True


class ApiError(DfineryError):
    """The API answered with a failure.

    Attributes:
        status: HTTP status of the answer.
        code: the API's own code, `None` where the answer had none (exports, bare HTTP errors).
        message: the API's own message, shortened and free of control characters.
        attempts: how many requests were made for this call.
        retryable: whether the same call may succeed later.
    """

    hint: ClassVar[str] = ""

    def __init__(
        self, message: str = "", *, status: int | None = None, code: int | None = None, attempts: int = 1
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.attempts = attempts

    def __str__(self) -> str:
        name = " ".join(part for part in (None if self.code is None else str(self.code), self.message) if part)
        http = "" if self.status is None else f" (HTTP {self.status})"
        tries = "" if self.attempts <= 1 else f", after {self.attempts} attempts"
        hint = f". {self.hint}" if self.hint else ""
        return f"{name or type(self).__name__}{http}{tries}{hint}"


class BadRequest(ApiError):
    """40000 or HTTP 400: the API could not read the request."""

    hint = "The request was malformed: check names and types against the service's taxonomy"


class ValidationFailure(ApiError):
    """40001: an event, a profile or an identity breaks the service's rules. The API does not say which field."""

    hint = "Check that events and properties are registered in the console with these types"


class InvalidServiceId(ApiError):
    """40101: the service id is not known."""

    hint = "Check service_id (DFINERY_SERVICE_ID)"


class InvalidToken(ApiError):
    """40201, HTTP 401 or 403: the token was refused."""

    hint = "Check the token; after a reissue the old one lives for two weeks. Import and export tokens are not the same"


class RateLimited(ApiError):
    """40401 or HTTP 429: the quota of the service is used up.

    Attributes:
        reset_at: when calls are answered again, as an aware UTC datetime; `None` when the API did not say.
    """

    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: int | None = None,
        attempts: int = 1,
        reset_at: datetime | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, attempts=attempts)
        self.reset_at = reset_at

    def __str__(self) -> str:
        when = "" if self.reset_at is None else f"; calls are answered again at {self.reset_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{super().__str__()}{when}"


class TooManyEvents(ApiError):
    """40402: more events in one request than the API takes."""


class TooManyProfiles(ApiError):
    """40403: more profiles in one request than the API takes."""


class ServerError(ApiError):
    """50000, an unlisted 5xxxx, or HTTP 5xx: trouble at the API; the same call may succeed later."""

    retryable = True


class ExportError(ApiError):
    """An export failed."""


class DateRangeExceeded(ExportError):
    """The export starts further back than the API keeps data for exports (30 days)."""

    hint = "Choose a later from_date: only the last 30 days can be exported"


class QueryFailed(ExportError):
    """The query behind the export failed and was not executed."""

    hint = "Check the names of events, properties and the audience"


class ExportInterrupted(ExportError):
    """The answer broke off before its end; no file was made."""

    retryable = True


class ConnectionFailed(DfineryError):
    """The API could not be reached, or the connection broke or took too long.

    Attributes:
        attempts: how many requests were made for this call.
        ambiguous: whether the API may have processed the request all the same.
    """

    retryable = True

    def __init__(self, message: str = "", *, attempts: int = 1, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.ambiguous = ambiguous

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.attempts <= 1 else f"{text}, after {self.attempts} attempts"


class UnexpectedResponse(DfineryError):
    """An answer that is not the API's: HTML, a redirect, broken JSON, a contradiction.

    Attributes:
        status: HTTP status of the answer.
        attempts: how many requests were made for this call.
        retryable: whether it may be a passing fault on the way (an unreadable answer), or not (a redirect).
    """

    def __init__(
        self, message: str = "", *, status: int | None = None, attempts: int = 1, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.attempts = attempts
        self.retryable = retryable

    def __str__(self) -> str:
        http = "" if self.status is None else f" (HTTP {self.status})"
        return f"{super().__str__()}{http}"


class DeliveryError(DfineryError):
    """What a receipt raises when its event, profile or identity was not delivered; `__cause__` says why."""


class SpoolError(DfineryError):
    """Trouble with the durable spool on disk."""


class SpoolFull(SpoolError):
    """The spool or its disk has no room left."""


class SpoolCorrupt(SpoolError):
    """The spool's files are damaged or not ours."""


class SpoolLocked(SpoolError):
    """Another process owns the spool."""
