"""Answers read by the mold of an earlier one are the answers that the parser reads."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings, strategies as st

from dfinery_async.runtime.wire.answer import AnswerReader, Phase
from dfinery_async.runtime.wire.mold import Mold

BODY = b'{"status":true,"code":20000,"message":"success","data":null}'
FIXED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def answer(
    remaining: object = 17, date: str = "Fri, 27 Nov 2026 08:00:00 GMT", body: bytes = BODY, more: bytes = b""
) -> bytes:
    head = f"date: {date}\r\nX-RateLimit-Remaining: {remaining}\r\ncontent-length: {len(body)}\r\n".encode()
    return FIXED + head + more + b"\r\n" + body


def read(reader: AnswerReader, data: bytes, *, largest: float = math.inf, whole: bool = True) -> object:
    """What a reader makes of an answer that arrives in one piece."""
    reader.keep = True
    reader.expect(largest, headless=False, whole=whole)
    error = reader.feed(memoryview(data))
    if error is not None or reader._phase is not Phase.DONE:
        return "not one answer"
    seen = reader.status, reader._head, b"".join(reader._parts), reader.keep
    reader.forget()
    return seen


def parsed(data: bytes, *, largest: float = math.inf) -> object:
    return read(AnswerReader(), data, largest=largest)


def molded() -> Mold:
    mold = Mold()
    assert read(AnswerReader(mold), answer()) == parsed(answer())
    return mold


@pytest.mark.parametrize("date", ["Fri, 27 Nov 2026 08:00:01 GMT", "x"])
@pytest.mark.parametrize("remaining", [16, 0, 999_999, "", "-1", "1,000"])
def test_other_counts_and_dates_fit(remaining: object, date: str) -> None:
    data = answer(remaining, date)
    if remaining != "":  # an empty value is left to the parser
        assert molded().read(data) is not None

    assert read(AnswerReader(molded()), data) == parsed(data)


@pytest.mark.parametrize(
    "data",
    [
        answer().replace(b"200 OK", b"429 No"),
        answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer().replace(b"success", b"failure"),
        answer(body=BODY + b" "),
        answer(more=b"transfer-encoding: chunked\r\n"),
        answer(more=b"connection: close\r\n"),
        answer().replace(b"content-length: ", b"content-length: 1"),
        answer().replace(b"date: ", b"date:\t"),
        answer().replace(b"date: F", b"date: F\x00"),
        answer().replace(b"date: F", b"date: \x80F"),
        answer().replace(b"date", b"Date"),
        answer()[:-1],
        answer() + b"\r\n",
        answer() + answer(),
        b" " + answer(),
    ],
    ids=range(15),
)
def test_what_differs_in_more_goes_to_the_parser(data: bytes) -> None:
    mold = molded()

    assert mold.read(data) is None
    assert read(AnswerReader(mold), data) == parsed(data)


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), at=st.integers(0, 400), put=st.binary(max_size=4), cut=st.integers(0, 3))
def test_any_change_is_read_as_the_parser_reads_it(seed: int, at: int, put: bytes, cut: int) -> None:
    """Whatever fits the mold is one answer to the parser too, with the same head and body."""
    data = answer(random.Random(seed).randrange(10**6))
    changed = data[:at] + put + data[at + cut :]
    if (usual := molded().read(changed)) is not None:
        status, headers, body = usual
        assert parsed(changed) == (status, headers, body, True)


def test_a_mold_that_forgets_the_framing_is_seen_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with any length allowed, an answer that is cut or goes on is taken for a whole one."""
    monkeypatch.setattr("dfinery_async.runtime.wire.mold._LITERAL", frozenset())
    data = answer().replace(b"content-length: ", b"content-length: 1")
    usual = molded().read(data)

    assert usual is not None
    assert parsed(data) == "not one answer"


def test_a_streamed_answer_and_one_that_is_too_long_are_parsed() -> None:
    mold = molded()

    assert read(AnswerReader(mold), answer(3), largest=10) == parsed(answer(3), largest=10)
    reader = AnswerReader(mold)
    assert read(reader, answer(4), whole=False) == parsed(answer(4))
    assert reader.version == b"HTTP/1.1"


def test_answers_that_all_differ_are_not_worth_a_pattern_each() -> None:
    mold, made = Mold(), 0
    reader = AnswerReader(mold)
    for number in range(1000):
        data = answer(body=b'{"status":true,"id":%06d}' % number)
        before = mold._pattern
        assert read(reader, data) == parsed(data)
        made += mold._pattern is not before

    assert made <= 11
    for _ in range(1100):  # and when they are the same again, it is seen
        read(reader, answer())
    assert mold.read(answer(5)) is not None


def test_very_long_and_unusual_answers_make_no_mold() -> None:
    for data in (
        answer(body=b"x" * 5000),
        answer(more=b"x-folded:  two spaces\r\n"),
        answer().replace(b": 17", b":17"),
    ):
        mold = Mold()
        assert read(AnswerReader(mold), data) == parsed(data)
        assert mold._pattern is None
