"""Nothing but a success ever counts as one, however an answer is damaged or made up."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import samples
from hypothesis import given, settings, strategies as st
from outcome_kit import V, body

from dfinery_async.core.outcome import Outcome, classify, classify_export


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
