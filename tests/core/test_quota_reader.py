"""A reader of quotas remembers headers of earlier replies, and reads each reply as if it were the first."""

from __future__ import annotations

import email.utils
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st
from quota_kit import MINUTE, NOW, RESET

from dfinery_async.core.quota_headers import Observation, QuotaReader, read_headers

REPLY_DATES = [email.utils.formatdate(NOW + second, usegmt=True) for second in range(2)]
HEADER = (
    st.tuples(st.sampled_from(["date"]), st.sampled_from([*REPLY_DATES, "soon"]))
    | st.tuples(st.sampled_from(["x-ratelimit-limit", "x-rate-limit-limit"]), st.sampled_from(["1m", "1d", "1M", "?"]))
    | st.tuples(
        st.sampled_from(["x-ratelimit-remaining", "x-rate-limit-remaining"]),
        st.sampled_from(["0", "7", "8", "", " 9", "1,000", "5,6", "\u0663", "\u00b2", "-1", "1" * 13, "9" * 13]),
    )
    | st.tuples(st.sampled_from(["x-ratelimit-reset"]), st.sampled_from([str(RESET), str(RESET * 1000 + 5), "soon"]))
    | st.tuples(st.sampled_from(["server", "x-request-id"]), st.sampled_from(["a", "b"]))
)
USUAL = [
    ("date", REPLY_DATES[0]),
    ("server", "x"),
    ("x-ratelimit-limit", "1m"),
    ("x-ratelimit-remaining", "998"),
    ("x-ratelimit-reset", str(RESET)),
]


def like_the_one_before(chance: random.Random, reply: list[tuple[str, str]], header: tuple[str, str]) -> Any:
    """Change one thing of a reply, or nothing: what a reader remembers shows only in replies that are alike."""
    changed = list(reply)
    match chance.randrange(4):
        case 0:
            changed.insert(chance.randrange(len(changed) + 1), header)
        case 1 if changed:
            changed[chance.randrange(len(changed))] = header
        case 2 if changed:
            changed.pop(chance.randrange(len(changed)))
        case _:
            changed = [(name, str(chance.randrange(50))) if "remaining" in name else (name, v) for name, v in changed]
    return changed


def misread(reader: QuotaReader, seed: int, headers: list[tuple[str, str]]) -> bool:
    chance = random.Random(seed)
    reply = list(USUAL)
    for step, header in enumerate(headers):
        raw = [(name.title().encode(), value.encode("utf-8")) for name, value in reply]
        wall = NOW + step % 3
        text = [(name, value.encode().decode("latin-1")) for name, value in reply]
        if reader.read(raw if seed % 2 else text, wall) != read_headers(text, wall):
            return True
        reply = like_the_one_before(chance, reply, header)
    return False


@given(st.integers(), st.lists(HEADER, min_size=5, max_size=20))
def test_a_reader_reads_every_reply_as_if_it_were_the_first(seed: int, headers: list[tuple[str, str]]) -> None:
    assert not misread(QuotaReader(), seed, headers)


def _forgets_the_date(reader: QuotaReader) -> None:
    kind = reader._kind

    def careless(raw: str | bytes) -> int:
        if raw in {"date", b"Date"}:
            reader._kinds[raw] = 0
        return 0 if raw in {"date", b"Date"} else kind(raw)

    reader._kind = careless  # type: ignore[method-assign]


def _always_remembers(reader: QuotaReader) -> None:
    read_all = reader._read_all

    def careless(headers: Any, same: Any, wall: float) -> Observation:
        seen = read_all(headers, same, wall)
        reader._same = same
        return seen

    reader._read_all = careless  # type: ignore[method-assign]


@pytest.mark.parametrize("bug", [_forgets_the_date, _always_remembers])
def test_a_reader_that_remembers_too_much_is_found_out(bug: Any) -> None:
    others: Any = [("date", REPLY_DATES[1]), ("x-rate-limit-remaining", "3"), ("date", "soon"), ("server", "b")] * 5

    def careless() -> QuotaReader:
        reader = QuotaReader()
        bug(reader)
        return reader

    assert any(misread(careless(), seed, others) for seed in range(50))


def test_what_a_reader_has_read_it_does_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = QuotaReader()
    raw = [(name.upper().encode(), value.encode()) for name, value in USUAL]
    assert reader.read(raw, NOW) == Observation(MINUTE, 998, 60.0, RESET, dated=True)
    monkeypatch.delattr(QuotaReader, "_read_all")
    raw[3] = (raw[3][0], b"997")

    assert reader.read(raw, NOW) == Observation(MINUTE, 997, 60.0, RESET, dated=True)


def test_a_reader_keeps_few_names_in_mind() -> None:
    reader = QuotaReader()
    for number in range(1000):
        reader.read([(f"x-trace-{number}", "1"), *USUAL], NOW)

    assert len(reader._kinds) <= 64
    assert reader.read(USUAL, NOW) == Observation(MINUTE, 998, 60.0, RESET, dated=True)
