"""The classification table: what each answer of the import API means."""

from __future__ import annotations

from typing import Any

import pytest
import samples
from outcome_kit import CODES, STATUSES, UNREADABLE, V, body, fail

from dfinery_async import errors
from dfinery_async.core.outcome import Outcome, Verdict, classify, classify_export, connection_failed


@pytest.mark.parametrize("code", [20000, "20000"])
@pytest.mark.parametrize("data", [True, None, False, 0, {}])
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_with_true_and_20000_is_delivered(status: int, code: Any, data: Any) -> None:
    assert classify(status, body(code, "OK", status=True, data=data)) == Outcome(V.DELIVERED)


def test_a_byte_order_mark_in_front_of_an_answer_is_no_part_of_it() -> None:
    mark = b"\xef\xbb\xbf"

    assert classify(200, mark + body(20000, "OK", status=True)) == Outcome(V.DELIVERED)
    assert type(classify(200, mark + body(40001)).error) is errors.ValidationFailure


TOKEN = "tok+EN/secret.12=="


@pytest.mark.parametrize(
    "echo",
    [TOKEN, f"token={TOKEN}; bad", f"x{TOKEN}x", TOKEN.lower(), "tok%2BEN%2Fsecret.12%3D%3D", f"{'x ' * 390}{TOKEN}"],
)
def test_a_token_that_an_answer_repeats_is_not_shown(echo: str) -> None:
    for outcome in (
        classify(200, body(40201, echo), secrets=["other", TOKEN]),
        classify_export(401, fail(echo), secrets=["other", TOKEN]),
        classify_export(200, body(40201, echo), secrets=["other", TOKEN]),
    ):
        error = outcome.error
        assert isinstance(error, errors.ApiError)
        for seen in (str(error), repr(error), error.message, repr(error.args)):
            assert "secret.12" not in seen


@pytest.mark.parametrize("sample", [samples.OK_WITH_TEXT_CODE, samples.OK_WITH_NUMBER_CODE])
def test_the_vendors_successes_are_delivered(sample: bytes) -> None:
    assert classify(200, sample) == Outcome(V.DELIVERED, None)


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("status", [200, 201, 400])
@pytest.mark.parametrize("written", [int, str])
@pytest.mark.parametrize("data", [True, None])
@pytest.mark.parametrize("row", CODES, ids=lambda row: str(row[0]))
def test_each_code_has_its_class(
    status: int, written: Any, data: Any, row: tuple[int, str, Verdict, type, bool], *, truth: bool
) -> None:
    code, message, verdict, kind, retryable = row
    outcome = classify(status, body(written(code), message, data=data, status=truth))
    error = outcome.error

    assert outcome.verdict is verdict
    assert type(error) is kind
    assert isinstance(error, errors.ApiError)
    assert (error.status, error.code, error.message, error.attempts) == (status, code, message, 1)
    assert error.retryable is retryable
    assert str(code) in str(error)


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (samples.TOO_MANY_EVENTS, errors.TooManyEvents),
        (samples.VALIDATION_FAILURE, errors.ValidationFailure),
        (samples.INTERNAL_SERVER_ERROR, errors.ServerError),
    ],
)
def test_the_vendors_failures_are_read_under_http_200(sample: bytes, kind: type) -> None:
    assert type(classify(200, sample).error) is kind


@pytest.mark.parametrize(
    ("code", "verdict", "kind"), [(code, verdict, kind) for code, _, verdict, kind, _ in CODES[:8]]
)
@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_listed_code_says_more_than_the_http_status(code: int, verdict: Verdict, kind: type, status: int) -> None:
    outcome = classify(status, body(code))

    assert (outcome.verdict, type(outcome.error)) == (verdict, kind)


@pytest.mark.parametrize(
    ("status", "verdict", "kind"),
    [
        (200, V.REFUSED, errors.ApiError),
        (400, V.REFUSED, errors.ApiError),
        (422, V.REFUSED, errors.ApiError),
        (401, V.UNAUTHORIZED, errors.InvalidToken),
        (403, V.UNAUTHORIZED, errors.InvalidToken),
        (408, V.RETRY, errors.ServerError),
        (413, V.TOO_LARGE, errors.TooManyEvents),
        (429, V.THROTTLED, errors.RateLimited),
        (500, V.RETRY, errors.ServerError),
        (503, V.RETRY, errors.ServerError),
        (501, V.MISCONFIGURED, errors.ApiError),
        (404, V.MISCONFIGURED, errors.ApiError),
        (302, V.MISCONFIGURED, errors.ApiError),
    ],
)
def test_an_unlisted_4xxxx_under_another_status_loses_nothing(status: int, verdict: Verdict, kind: type) -> None:
    outcome = classify(status, body(40999, "NEW"))

    assert (outcome.verdict, type(outcome.error)) == (verdict, kind)
    assert isinstance(outcome.error, errors.ApiError)
    assert (outcome.error.code, outcome.error.message, outcome.error.status) == (40999, "NEW", status)


@pytest.mark.parametrize(
    "code", [0, 1, 5, 200, 2000, 4001, 20001, 39999, 60000, 99999, -20000, -50000, 10**18, 5 * 10**24]
)
@pytest.mark.parametrize(
    ("status", "verdict", "kind"),
    [
        (200, V.RETRY, errors.UnexpectedResponse),
        (400, V.REFUSED, errors.BadRequest),
        (401, V.UNAUTHORIZED, errors.InvalidToken),
        (429, V.THROTTLED, errors.RateLimited),
        (500, V.RETRY, errors.ServerError),
    ],
)
def test_a_code_of_another_api_leaves_the_http_status_to_decide(
    code: int, status: int, verdict: Verdict, kind: type
) -> None:
    outcome = classify(status, body(code))

    assert (outcome.verdict, type(outcome.error)) == (verdict, kind)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        *((status, body(20000, status=True)) for status in (100, 199, 300, 302, 400, 401, 404, 429, 500, 999)),
        (200, body(20000, status=False)),
        (500, body(20000, status=False)),
        (200, body(20001, status=True)),
        (200, body(60000, status=True)),
    ],
)
def test_a_contradiction_is_no_success_and_is_tried_again(status: int, text: bytes) -> None:
    outcome = classify(status, text)

    assert outcome.verdict is V.RETRY
    assert isinstance(outcome.error, errors.UnexpectedResponse)
    assert outcome.error.retryable
    assert outcome.error.status == status


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: repr(text[:24]))
@pytest.mark.parametrize(("status", "verdict", "kind", "retryable"), STATUSES)
def test_without_an_envelope_the_http_status_decides(
    status: int, verdict: Verdict, kind: type, retryable: bool, text: bytes
) -> None:
    outcome = classify(status, text)

    assert outcome.verdict is verdict
    assert type(outcome.error) is kind
    assert isinstance(outcome.error, errors.ApiError | errors.UnexpectedResponse)
    assert outcome.error.status == status
    assert outcome.error.retryable is retryable
    assert str(outcome.error)


def test_a_servers_message_is_cleaned() -> None:
    message = f"\x1b[2Jno profile of kim.minsu@example.com, 821012345678\r\n{'x' * 1_000_000}"
    error = classify(200, body(40001, message)).error
    unlisted = classify(200, body(40999, message)).error
    export = classify_export(400, fail(message)).error

    for seen in (error, unlisted, export):
        assert "\x1b" not in f"{seen}{seen!r}"
        assert "kim" not in f"{seen}{seen!r}"
        assert "1012345678" not in f"{seen}{seen!r}"
        assert len(str(seen)) < 400


def test_no_answer_is_tried_again_and_may_have_been_processed() -> None:
    for ambiguous in (True, False):
        outcome = connection_failed("reset", ambiguous=ambiguous)

        assert outcome.verdict is V.RETRY
        assert isinstance(outcome.error, errors.ConnectionFailed)
        assert outcome.error.ambiguous is ambiguous
