"""What an answer to an export means that is no CSV."""

from __future__ import annotations

import pytest
import samples
from outcome_kit import CODES, STATUSES, UNREADABLE, V, body, fail

from dfinery_async import errors
from dfinery_async.core.outcome import Verdict, classify_export


@pytest.mark.parametrize(
    ("status", "message", "verdict", "kind"),
    [
        (200, "client_connection_closed", V.RETRY, errors.ExportInterrupted),
        (400, "invalid_parameter", V.REFUSED, errors.BadRequest),
        (400, "exceed_date_range_limit", V.REFUSED, errors.DateRangeExceeded),
        (401, "unauthorized_token", V.UNAUTHORIZED, errors.InvalidToken),
        (429, "too_many_api_requests", V.THROTTLED, errors.RateLimited),
        (500, "unknown_error", V.RETRY, errors.ServerError),
        (500, "query_error", V.REFUSED, errors.QueryFailed),
        # as all else of this API, under HTTP 200
        (200, "exceed_date_range_limit", V.REFUSED, errors.DateRangeExceeded),
        (200, "too_many_api_requests", V.THROTTLED, errors.RateLimited),
        # unlisted
        (200, "new_error", V.REFUSED, errors.ExportError),
        (400, "new_error", V.REFUSED, errors.BadRequest),
        (401, "new_error", V.UNAUTHORIZED, errors.InvalidToken),
        (404, "new_error", V.REFUSED, errors.ExportError),
        (429, "new_error", V.THROTTLED, errors.RateLimited),
        (500, "new_error", V.RETRY, errors.ServerError),
        (503, "", V.RETRY, errors.ServerError),
    ],
)
def test_each_message_of_a_failed_export_has_its_class(status: int, message: str, verdict: Verdict, kind: type) -> None:
    outcome = classify_export(status, fail(message))

    assert outcome.verdict is verdict
    assert type(outcome.error) is kind
    assert isinstance(outcome.error, errors.ApiError)
    assert (outcome.error.status, outcome.error.code, outcome.error.message) == (status, None, message)


@pytest.mark.parametrize(
    ("sample", "status", "kind"),
    [
        (samples.EXPORT_DATE_RANGE, 400, errors.DateRangeExceeded),
        (samples.EXPORT_UNKNOWN_ERROR, 500, errors.ServerError),
    ],
)
def test_the_vendors_failed_exports_are_read(sample: bytes, status: int, kind: type) -> None:
    assert type(classify_export(status, sample).error) is kind


@pytest.mark.parametrize("text", [*UNREADABLE, body(20000, "OK", status=True), b'{"result":"ok"}'])
def test_an_export_that_is_neither_csv_nor_a_failure_is_not_the_apis(text: bytes) -> None:
    outcome = classify_export(200, text)

    assert outcome.verdict is V.RETRY
    kind = errors.ExportInterrupted if text.startswith(b"{") else errors.UnexpectedResponse
    assert type(outcome.error) is kind


@pytest.mark.parametrize(("status", "verdict", "kind", "retryable"), [row for row in STATUSES if row[0] != 200])
def test_without_a_message_the_http_status_of_an_export_decides(
    status: int, verdict: Verdict, kind: type, retryable: bool
) -> None:
    outcome = classify_export(status, b"<html>")

    assert (outcome.verdict, type(outcome.error)) == (verdict, kind)
    assert outcome.error is not None
    assert outcome.error.retryable is retryable


@pytest.mark.parametrize(("code", "message", "verdict", "kind", "retryable"), CODES)
def test_an_export_may_answer_as_the_import_api_does(
    code: int, message: str, verdict: Verdict, kind: type, retryable: bool
) -> None:
    outcome = classify_export(200, body(code, message))

    assert (outcome.verdict, type(outcome.error)) == (verdict, kind)
    assert outcome.error is not None
    assert outcome.error.retryable is retryable
