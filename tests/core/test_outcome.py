"""The classification table: what each answer means, and that nothing but a success ever counts as one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import samples
from hypothesis import given, settings, strategies as st

from dfinery_async import errors
from dfinery_async.core.outcome import Outcome, Verdict, classify, classify_export, connection_failed

V = Verdict


def body(code: Any, message: Any = "", *, status: Any = False, data: Any = None) -> bytes:
    return json.dumps({"status": status, "code": code, "message": message, "data": data}).encode()


def fail(message: Any) -> bytes:
    return json.dumps({"result": "fail", "message": message}).encode()


# --- import


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


# --- nothing but a success is one


def is_success(status: int, text: bytes) -> bool:
    """Another reader's opinion: the standard library's, as lenient as it can be."""
    try:
        answer = json.loads(text.decode("utf-8-sig", errors="replace"))
        code = answer["code"]
        return 200 <= status <= 299 and answer["status"] is True and not isinstance(code, bool) and int(code) == 20000
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def mutated(chance: random.Random) -> bytes:
    """A reply of the API with a few bytes removed, doubled, changed or moved."""
    text = bytearray(
        chance.choice(
            [
                samples.OK_WITH_TEXT_CODE,
                samples.OK_WITH_NUMBER_CODE,
                samples.VALIDATION_FAILURE,
                samples.TOO_MANY_EVENTS,
                body(20000, "OK", status=False),
                body(50101, "x", status=True),
                samples.EXPORT_UNKNOWN_ERROR,
            ]
        )
    )
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text)) if text else 0
        piece = text[at : at + chance.randint(1, 8)]
        match chance.randrange(4):
            case 0:
                del text[at : at + len(piece)]
            case 1:
                text[at:at] = piece
            case 2:
                text[at : at + 1] = bytes([chance.choice([*b'{}[]",:0123456789truefalsn\\ ', chance.randrange(256)])])
            case _:
                place = chance.randrange(len(text) + 1)
                text[place:place] = piece
    return bytes(text)


def false_deliveries(classifier: Callable[[int, bytes], Outcome], rounds: int = 20_000) -> list[tuple[int, bytes]]:
    """Answers that a classifier calls delivered although they are no success."""
    chance = random.Random(20000)
    found = []
    for _ in range(rounds):
        status = chance.choice([200, 200, 200, 201, 204, 302, 400, 429, 500, chance.randrange(1000)])
        text = mutated(chance)
        if classifier(status, text).verdict is V.DELIVERED and not is_success(status, text):
            found.append((status, text))
    return found


def test_a_damaged_answer_is_never_a_delivery() -> None:
    assert false_deliveries(classify) == []


def trusts_http(status: int, text: bytes) -> Outcome:
    return Outcome(V.DELIVERED) if status == 200 else classify(status, text)


def trusts_the_code(status: int, text: bytes) -> Outcome:
    return Outcome(V.DELIVERED) if b"20000" in text else classify(status, text)


def trusts_truth(status: int, text: bytes) -> Outcome:
    try:
        answer = json.loads(text)
        return Outcome(V.DELIVERED) if answer["status"] and status == 200 else classify(status, text)
    except (ValueError, TypeError, KeyError):
        return classify(status, text)


def ignores_the_status(status: int, text: bytes) -> Outcome:
    return classify(200, text)


@pytest.mark.parametrize("wrong", [trusts_http, trusts_the_code, trusts_truth, ignores_the_status])
def test_the_check_of_deliveries_finds_a_classifier_that_is_wrong(wrong: Any) -> None:
    assert false_deliveries(wrong) != []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(["status", "code", "message", "data", "result"])
LIKELY = st.sampled_from([True, False, 20000, "20000", 40001, "40401", 50000, "OK", "fail", "unknown_error"])
ANSWERS = (
    st.binary(max_size=64)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(FIELD, LIKELY | JSON).map(lambda value: json.dumps(value).encode())
)


@settings(max_examples=500)
@given(st.integers() | st.sampled_from([200, 201, 400, 429, 500]), ANSWERS)
def test_any_answer_has_a_meaning(status: int, text: bytes) -> None:
    outcome = classify(status, text)

    assert (outcome.verdict is V.DELIVERED) is (outcome.error is None)
    assert (outcome.verdict is not V.DELIVERED) or is_success(status, text)
    if outcome.error is not None:
        assert str(outcome.error)
        assert outcome.error.retryable is (outcome.verdict in {V.RETRY, V.THROTTLED})


@settings(max_examples=300)
@given(st.integers() | st.sampled_from([200, 400, 401, 429, 500]), ANSWERS)
def test_any_answer_of_an_export_that_is_no_csv_is_a_failure(status: int, text: bytes) -> None:
    outcome = classify_export(status, text)

    assert outcome.verdict is not V.DELIVERED
    assert outcome.error is not None
    assert outcome.error.retryable is (outcome.verdict in {V.RETRY, V.THROTTLED})


# --- export


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
